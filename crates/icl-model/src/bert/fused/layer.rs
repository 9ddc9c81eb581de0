//! One layer of the encoder, forward and back.

use super::attention::{Backward, Forward, Head, Part, negatives};
use super::matrix::{Map, Matrix, Variables};
use super::{Norm, Ragged, Settings, scale};
use crate::ModelError;
use crate::bert::config::Activation;
use crate::bert::dropout::Site;
use crate::bert::model::Last;
use crate::ops;
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
    attention_factors: Vec<f32>,
    /// Before the norm after attention, and after it.
    sum: Vec<f32>,
    a: Matrix,
    inner: Vec<f32>,
    active: Matrix,
    factors: Vec<f32>,
    /// Before the last norm.
    out: Vec<f32>,
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
        variables: &Variables,
        x: Matrix,
        ragged: Ragged<'_>,
        last: Last,
    ) -> Result<(Matrix, Stored), ModelError> {
        let queries = (last == Last::First).then(|| first_rows(&x, ragged));
        let computed = queries.as_ref().unwrap_or(&x);
        // negatives are chosen by every token as a query
        let projected = if settings.terms.negatives.is_some() { &x } else { computed };
        let q = variables.apply(&self.query, projected)?;
        let k = variables.apply(&self.key, &x)?;
        let v = variables.apply(&self.value, &x)?;
        let counts = counts(ragged, last);
        let (heads, joined) = self.attend(settings, [&q, &k, &v], ragged, &counts);
        let mut sum = variables.apply(&self.output, &joined)?;
        let attention_factors =
            ragged.factors(Site::AttentionOutput(self.number), &counts, settings.d);
        scale(sum.entries_mut(), &attention_factors);
        sum.add(computed.entries());
        let a = settings.normed(variables, &self.attention_norm, sum.entries());
        let inner = variables.apply(&self.inner, &a)?;
        let mut active = inner.clone();
        settings.activate(active.entries_mut());
        let mut out = variables.apply(&self.outer, &active)?;
        let factors = ragged.factors(Site::FeedForward(self.number), &counts, settings.d);
        scale(out.entries_mut(), &factors);
        out.add(a.entries());
        let y = settings.normed(variables, &self.norm, out.entries());
        let (sum, inner, out) = (sum.into_entries(), inner.into_entries(), out.into_entries());
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
        Ok((y, stored))
    }

    /// All heads of all sequences, and their outputs side by side.
    fn attend(
        &self,
        settings: &Settings,
        qkv: [&Matrix; 3],
        ragged: Ragged<'_>,
        counts: &[usize],
    ) -> (Vec<StoredHead>, Matrix) {
        let Settings { d, heads, terms, isa, .. } = *settings;
        let size = d / heads;
        let mut joined = vec![0.0; counts.iter().sum::<usize>() * d];
        let (mut stored, mut start) = (Vec::new(), 0);
        for (b, rows) in ragged.rows().enumerate() {
            let (n, n_queries) = (rows.len(), counts[b]);
            let site = Site::Attention(self.number);
            let factors = ragged
                .dropout
                .and_then(|dropout| dropout.factors(site, b as u64, heads * n_queries * n));
            for h in 0..heads {
                let of_tokens = rows.start * d..rows.end * d;
                let of_q = if qkv[0].rows == qkv[1].rows {
                    of_tokens.clone()
                } else {
                    start * d..(start + n_queries) * d
                };
                let q = &qkv[0].entries()[of_q];
                let [k, v] = [qkv[1], qkv[2]].map(|m| &m.entries()[of_tokens.clone()]);
                let part = |rows| Part { rows, d, first: h * size, size };
                let (all_q, k, v) = (part(q), part(k), part(v));
                let negatives = match terms.negatives {
                    Some((m, _)) => negatives(isa, all_q, k, m),
                    None => Vec::new(),
                };
                let q = part(&q[..n_queries * d]);
                let factors = factors.as_ref().map_or(Vec::new(), |factors| {
                    factors[h * n_queries * n..(h + 1) * n_queries * n].to_vec()
                });
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
        variables: &Variables,
        mut stored: Stored,
        g: Matrix,
        ragged: Ragged<'_>,
        gradient: &mut [f32],
    ) -> Result<Matrix, ModelError> {
        let d = settings.d;
        let of_out =
            settings.norm_gradient(variables, &self.norm, &stored.out, g.entries(), gradient);
        let mut of_outer = Matrix::new(of_out.clone(), d);
        scale(of_outer.entries_mut(), &stored.factors);
        let mut of_inner = variables.gradient(&self.outer, &stored.active, &of_outer, gradient)?;
        let inner = std::mem::take(&mut stored.inner);
        settings.activation_gradient(inner, of_inner.entries_mut());
        let mut of_a = variables.gradient(&self.inner, &stored.a, &of_inner, gradient)?;
        of_a.add(&of_out);
        let norm = &self.attention_norm;
        let of_sum = settings.norm_gradient(variables, norm, &stored.sum, of_a.entries(), gradient);
        let mut of_attended = Matrix::new(of_sum.clone(), d);
        scale(of_attended.entries_mut(), &stored.attention_factors);
        let of_joined = variables.gradient(&self.output, &stored.joined, &of_attended, gradient)?;
        let last = if stored.queries.is_some() { Last::First } else { Last::All };
        let [of_q, of_k, of_v] = attention_gradient(settings, &stored, &of_joined, ragged, last);
        let mut of_x = variables.gradient(&self.key, &stored.x, &of_k, gradient)?;
        of_x.add(variables.gradient(&self.value, &stored.x, &of_v, gradient)?.entries());
        let projected = if stored.q.rows == stored.x.rows {
            &stored.x
        } else {
            stored.queries.as_ref().unwrap_or(&stored.x)
        };
        let of_projected = variables.gradient(&self.query, projected, &of_q, gradient)?;
        let add = |of_x: &mut Matrix, g: &[f32]| match g.len() == of_x.entries().len() {
            true => of_x.add(g),
            false => add_to_first(of_x, g, ragged),
        };
        add(&mut of_x, of_projected.entries());
        add(&mut of_x, &of_sum);
        Ok(of_x)
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
fn first_rows(x: &Matrix, ragged: Ragged<'_>) -> Matrix {
    let d = x.columns;
    let row = |rows: std::ops::Range<usize>| &x.entries()[rows.start * d..(rows.start + 1) * d];
    Matrix::new(ragged.rows().flat_map(row).copied().collect(), d)
}

/// Adds rows to the first token of every sequence.
fn add_to_first(x: &mut Matrix, g: &[f32], ragged: Ragged<'_>) {
    let d = x.columns;
    for (rows, g) in ragged.rows().zip(g.chunks_exact(d)) {
        let row = &mut x.entries_mut()[rows.start * d..(rows.start + 1) * d];
        row.iter_mut().zip(g).for_each(|(x, g)| *x += g);
    }
}

/// Gradients of queries, keys and values from that of the heads' outputs side by side.
fn attention_gradient(
    settings: &Settings,
    stored: &Stored,
    of_joined: &Matrix,
    ragged: Ragged<'_>,
    last: Last,
) -> [Matrix; 3] {
    let Settings { d, heads, terms, isa, .. } = *settings;
    let size = d / heads;
    let counts = counts(ragged, last);
    let [mut of_q, mut of_k, mut of_v] =
        [&stored.q, &stored.k, &stored.v].map(|m| vec![0.0; m.entries().len()]);
    let mut start = 0;
    for (b, rows) in ragged.rows().enumerate() {
        let (n_queries, of_tokens) = (counts[b], rows.start * d..rows.end * d);
        let first = if stored.q.rows == stored.k.rows { rows.start } else { start };
        let of_queries = first * d..(first + n_queries) * d;
        for h in 0..heads {
            let StoredHead { weights, negatives, factors } = &stored.heads[b * heads + h];
            let part = |rows| Part { rows, d, first: h * size, size };
            let head = Head {
                q: part(&stored.q.entries()[of_queries.clone()]),
                k: part(&stored.k.entries()[of_tokens.clone()]),
                v: part(&stored.v.entries()[of_tokens.clone()]),
                terms,
                negatives,
                factors,
            };
            let g = part(&of_joined.entries()[start * d..(start + n_queries) * d]);
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
    fn normed(&self, variables: &Variables, norm: &Norm, x: &[f32]) -> Matrix {
        let mut y = x.to_vec();
        let rows = [variables.get(&norm.gain), variables.get(&norm.bias)];
        ops::norm_rows(self.isa, &mut y, rows, self.epsilon);
        Matrix::new(y, self.d)
    }

    fn activate(&self, x: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
            _ => Function::Gelu.map(self.isa, x),
        }
    }

    /// `g f'(x)`, entry by entry.
    fn activation_gradient(&self, mut x: Vec<f32>, g: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = f32::from(u8::from(*x > 0.0))),
            _ => Function::GeluSlope.map(self.isa, &mut x),
        }
        scale(g, &x);
    }
}
