//! One layer of the encoder, forward and back.

use super::attention::{Backward, Forward, Head, Part, negatives};
use super::buffer::Buffer;
use super::matrix::{Map, Matrix, Run};
use super::{Norm, Ragged, Settings, scale};
use crate::bert::config::Activation;
use crate::bert::dropout::Site;
use crate::bert::model::Last;
use icl_numerics::elementary::Function;

/// Where a layer's variables stand.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    number: usize,
    query: Map,
    key: Map,
    value: Map,
    output: Map,
    attention_norm: Norm,
    inner: Map,
    outer: Map,
    norm: Norm,
}

/// What the way back needs of a layer.
pub(super) struct Stored {
    x: Matrix,
    /// The tokens that are computed further, if not all.
    queries: Option<Matrix>,
    q: Matrix,
    k: Matrix,
    v: Matrix,
    /// Of every sequence and head, one after another.
    heads: Vec<StoredHead>,
    joined: Matrix,
    attention_factors: Buffer,
    /// Before the norm after attention, and after it.
    sum: Buffer,
    a: Matrix,
    inner: Buffer,
    active: Matrix,
    factors: Buffer,
    /// Before the last norm.
    out: Buffer,
}

struct StoredHead {
    weights: Vec<f32>,
    negatives: Vec<usize>,
    factors: Vec<f32>,
}

impl Layer {
    pub(super) fn new(
        number: usize,
        name: &str,
        map: &dyn Fn(&str) -> Option<Map>,
        norm: &dyn Fn(&str) -> Option<Norm>,
    ) -> Option<Self> {
        let own = |part: &str| map(&format!("{name}.{part}"));
        Some(Self {
            number,
            query: own("attention.self.query")?,
            key: own("attention.self.key")?,
            value: own("attention.self.value")?,
            output: own("attention.output.dense")?,
            attention_norm: norm(&format!("{name}.attention.output.LayerNorm"))?,
            inner: own("intermediate.dense")?,
            outer: own("output.dense")?,
            norm: norm(&format!("{name}.output.LayerNorm"))?,
        })
    }

    pub(super) fn forward(
        &self,
        settings: &Settings,
        run: &Run<'_>,
        x: Matrix,
        ragged: Ragged<'_>,
        last: Last,
    ) -> (Matrix, Stored) {
        let queries = (last == Last::First).then(|| first_rows(run, &x, ragged));
        let computed = queries.as_ref().unwrap_or(&x);
        // negatives are chosen by every token as a query
        let projected = if settings.terms.negatives.is_some() { &x } else { computed };
        let q = run.apply(&self.query, projected);
        let k = run.apply(&self.key, &x);
        let v = run.apply(&self.value, &x);
        let counts = counts(ragged, last);
        let (heads, joined) = self.attend(settings, run, [&q, &k, &v], ragged, &counts);
        let mut sum = run.apply(&self.output, &joined);
        let site = Site::AttentionOutput(self.number);
        let attention_factors = ragged.factors(&run.pool, site, &counts, settings.d);
        scale(&mut sum.entries, &attention_factors);
        sum.add(&computed.entries);
        let a = settings.normed(run, &self.attention_norm, &sum.entries);
        let inner = run.apply(&self.inner, &a);
        let mut active = inner.clone();
        settings.activate(&mut active.entries);
        let mut out = run.apply(&self.outer, &active);
        let site = Site::FeedForward(self.number);
        let factors = ragged.factors(&run.pool, site, &counts, settings.d);
        scale(&mut out.entries, &factors);
        out.add(&a.entries);
        let y = settings.normed(run, &self.norm, &out.entries);
        let (sum, inner, out) = (sum.entries, inner.entries, out.entries);
        let stored = Stored {
            x,
            queries,
            q,
            k,
            v,
            heads,
            joined,
            attention_factors,
            sum,
            a,
            inner,
            active,
            factors,
            out,
        };
        (y, stored)
    }

    /// All heads of all sequences, and their outputs side by side.
    fn attend(
        &self,
        settings: &Settings,
        run: &Run<'_>,
        qkv: [&Matrix; 3],
        ragged: Ragged<'_>,
        counts: &[usize],
    ) -> (Vec<StoredHead>, Matrix) {
        let Settings { d, heads, terms, isa, .. } = *settings;
        let size = d / heads;
        let mut joined = run.pool.take(counts.iter().sum::<usize>() * d);
        let (mut stored, mut start) = (Vec::new(), 0);
        for (b, rows) in ragged.rows().enumerate() {
            let (n, n_queries) = (rows.len(), counts[b]);
            let site = Site::Attention(self.number);
            let mut factors = Vec::new();
            if let Some(dropout) = ragged.dropout.filter(|dropout| dropout.drops(site)) {
                factors.resize(heads * n_queries * n, 0.0);
                dropout.fill(site, b as u64, &mut factors);
            }
            for h in 0..heads {
                let of_tokens = rows.start * d..rows.end * d;
                let of_q = if qkv[0].rows == qkv[1].rows {
                    of_tokens.clone()
                } else {
                    start * d..(start + n_queries) * d
                };
                let q = &qkv[0].entries[of_q];
                let [k, v] = [qkv[1], qkv[2]].map(|m| &m.entries[of_tokens.clone()]);
                let part = |rows| Part { rows, d, first: h * size, size };
                let (all_q, k, v) = (part(q), part(k), part(v));
                let negatives = match terms.negatives {
                    Some((m, _)) => negatives(isa, all_q, k, m),
                    None => Vec::new(),
                };
                let q = part(&q[..n_queries * d]);
                let own = h * n_queries * n..(h + 1) * n_queries * n;
                let factors = factors.get(own).unwrap_or(&[]).to_vec();
                let head = Head { q, k, v, terms, negatives: &negatives, factors: &factors };
                let (output, weights) = isa.run(Forward(head));
                for (i, row) in output.chunks_exact(size).enumerate() {
                    let place = (start + i) * d + h * size;
                    joined[place..place + size].copy_from_slice(row);
                }
                stored.push(StoredHead { weights, negatives, factors });
            }
            start += n_queries;
        }
        (stored, Matrix::new(joined, d))
    }

    /// The gradient of the layer's tokens from that of its outputs.
    pub(super) fn backward(
        &self,
        settings: &Settings,
        run: &Run<'_>,
        mut stored: Stored,
        g: &Matrix,
        ragged: Ragged<'_>,
        gradient: &mut [f32],
    ) -> Matrix {
        let of_out = settings.norm_gradient(run, &self.norm, &stored.out, &g.entries, gradient);
        let mut of_outer = Matrix::new(of_out.clone(), settings.d);
        scale(&mut of_outer.entries, &stored.factors);
        let mut of_inner = run.gradient(&self.outer, &stored.active, &of_outer, gradient);
        settings.activation_gradient(&mut stored.inner, &mut of_inner.entries);
        let mut of_a = run.gradient(&self.inner, &stored.a, &of_inner, gradient);
        of_a.add(&of_out);
        let norm = &self.attention_norm;
        let of_sum = settings.norm_gradient(run, norm, &stored.sum, &of_a.entries, gradient);
        let mut of_attended = Matrix::new(of_sum.clone(), settings.d);
        scale(&mut of_attended.entries, &stored.attention_factors);
        let of_joined = run.gradient(&self.output, &stored.joined, &of_attended, gradient);
        let last = if stored.queries.is_some() { Last::First } else { Last::All };
        let [of_q, of_k, of_v] =
            attention_gradient(settings, run, &stored, &of_joined, (ragged, last));
        let mut of_x = run.gradient(&self.key, &stored.x, &of_k, gradient);
        of_x.add(&run.gradient(&self.value, &stored.x, &of_v, gradient).entries);
        let all = stored.q.rows == stored.x.rows;
        let projected = stored.queries.as_ref().filter(|_| !all).unwrap_or(&stored.x);
        let of_projected = run.gradient(&self.query, projected, &of_q, gradient);
        for g in [&of_projected.entries, &of_sum] {
            if g.len() == of_x.entries.len() {
                of_x.add(g);
            } else {
                add_to_first(&mut of_x, g, ragged);
            }
        }
        of_x
    }
}

/// Queries of every sequence.
fn counts(ragged: Ragged<'_>, last: Last) -> Vec<usize> {
    match last {
        Last::All => ragged.lengths.to_vec(),
        Last::First => vec![1; ragged.lengths.len()],
    }
}

/// The first token of every sequence.
fn first_rows(run: &Run<'_>, x: &Matrix, ragged: Ragged<'_>) -> Matrix {
    let d = x.columns;
    let mut first = run.pool.take(ragged.lengths.len() * d);
    for (place, rows) in first.chunks_exact_mut(d).zip(ragged.rows()) {
        place.copy_from_slice(&x.entries[rows.start * d..(rows.start + 1) * d]);
    }
    Matrix::new(first, d)
}

/// Adds rows to the first token of every sequence.
fn add_to_first(x: &mut Matrix, g: &[f32], ragged: Ragged<'_>) {
    let d = x.columns;
    for (rows, g) in ragged.rows().zip(g.chunks_exact(d)) {
        let row = &mut x.entries[rows.start * d..(rows.start + 1) * d];
        row.iter_mut().zip(g).for_each(|(x, g)| *x += g);
    }
}

/// Gradients of queries, keys and values from that of the heads' outputs side by side.
fn attention_gradient(
    settings: &Settings,
    run: &Run<'_>,
    stored: &Stored,
    of_joined: &Matrix,
    (ragged, last): (Ragged<'_>, Last),
) -> [Matrix; 3] {
    let Settings { d, heads, terms, isa, .. } = *settings;
    let size = d / heads;
    let counts = counts(ragged, last);
    let [mut of_q, mut of_k, mut of_v] =
        [&stored.q, &stored.k, &stored.v].map(|m| run.pool.zeros(m.entries.len()));
    let mut start = 0;
    for (b, rows) in ragged.rows().enumerate() {
        let (n_queries, of_tokens) = (counts[b], rows.start * d..rows.end * d);
        let first = if stored.q.rows == stored.k.rows { rows.start } else { start };
        let of_queries = first * d..(first + n_queries) * d;
        for h in 0..heads {
            let StoredHead { weights, negatives, factors } = &stored.heads[b * heads + h];
            let part = |rows| Part { rows, d, first: h * size, size };
            let head = Head {
                q: part(&stored.q.entries[of_queries.clone()]),
                k: part(&stored.k.entries[of_tokens.clone()]),
                v: part(&stored.v.entries[of_tokens.clone()]),
                terms,
                negatives,
                factors,
            };
            let g = part(&of_joined.entries[start * d..(start + n_queries) * d]);
            let parts = isa.run(Backward { head, weights, g });
            let places = [&of_queries, &of_tokens, &of_tokens];
            for ((all, place), part) in
                [&mut of_q, &mut of_k, &mut of_v].into_iter().zip(places).zip(parts)
            {
                for (row, part) in
                    all[place.clone()].chunks_exact_mut(d).zip(part.chunks_exact(size))
                {
                    row[h * size..(h + 1) * size].copy_from_slice(part);
                }
            }
        }
        start += n_queries;
    }
    [of_q, of_k, of_v].map(|entries| Matrix::new(entries, d))
}

impl Settings {
    pub(super) fn activate(&self, x: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
            _ => Function::Gelu.map(self.isa, x),
        }
    }

    /// `g f'(x)`, entry by entry.
    pub(super) fn activation_gradient(&self, x: &mut [f32], g: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = f32::from(u8::from(*x > 0.0))),
            _ => Function::GeluSlope.map(self.isa, x),
        }
        scale(g, x);
    }
}
