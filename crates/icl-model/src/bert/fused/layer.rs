//! One layer of the encoder, forward and back.

use super::augmented::{Augment, Augmented};
use super::buffer::Buffer;
use super::heads::{Projections, StoredHead};
use super::matrix::{Map, Matrix, Run};
use super::{Norm, Ragged, Settings, scale};
use crate::attention::Parameters;
use crate::bert::config::Activation;
use crate::bert::dropout::Site;
use crate::bert::model::Last;
use crate::bert::variables::MODIFICATION;
use icl_numerics::elementary::Function;

/// Where a layer's variables stand.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    number: usize,
    query: Map,
    key: Map,
    value: Map,
    /// `g2` of the demonstrations' keys, `g1` of their values.
    augment: [Option<Augment>; 2],
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
    augmented: [Option<Augmented>; 2],
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

impl Layer {
    pub(super) fn new(
        number: usize,
        name: &str,
        layout: &Parameters,
        settings: &Settings,
    ) -> Option<Self> {
        let (terms, size) = (settings.terms, settings.d / settings.heads);
        let key_factor = (size as f32).sqrt().sqrt().recip();
        let augment = |g, factor, side: &str| {
            Augment::new((g, factor), &format!("{name}.{MODIFICATION}.{side}"), size, layout)
        };
        let own = |part: &str| Map::find(layout, &format!("{name}.{part}"));
        let norm = |part: &str| Norm::find(layout, &format!("{name}.{part}"));
        Some(Self {
            number,
            query: own("attention.self.query")?,
            key: own("attention.self.key")?,
            value: own("attention.self.value")?,
            augment: [
                augment(terms.keys, key_factor, "g_keys"),
                augment(terms.values, 1.0, "g_values"),
            ],
            output: own("attention.output.dense")?,
            attention_norm: norm("attention.output.LayerNorm")?,
            inner: own("intermediate.dense")?,
            outer: own("output.dense")?,
            norm: norm("output.LayerNorm")?,
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
        let [key, value] = &self.augment;
        let augmented = |g: &Option<Augment>, x| g.as_ref().map(|g| g.forward(run, x));
        let augmented = [augmented(key, &k), augmented(value, &v)];
        let projections = Projections::new([&q, &k, &v], &augmented);
        let (heads, joined) = projections.attend(settings, run, self.number, ragged, &counts);
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
            augmented,
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
        let projections = Projections::new([&stored.q, &stored.k, &stored.v], &stored.augmented);
        let counts = counts(ragged, last);
        let of = projections.gradients(settings, run, &stored.heads, &of_joined, (ragged, &counts));
        let [augmented_k, augmented_v] = stored.augmented;
        let [key, value] = &self.augment;
        let of_k = plain(run, (key, augmented_k), (of.k, of.own_k), gradient);
        let of_v = plain(run, (value, augmented_v), (of.v, of.own_v), gradient);
        let of_q = of.q;
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

/// The gradient of keys or values from those of what the demonstrations' are made into, and of the tokens' own.
fn plain(
    run: &Run<'_>,
    (augment, augmented): (&Option<Augment>, Option<Augmented>),
    (g, own): (Matrix, Option<Matrix>),
    gradient: &mut [f32],
) -> Matrix {
    let (Some(augment), Some(augmented), Some(own)) = (augment, augmented, own) else {
        return g;
    };
    let mut g = augment.backward(run, augmented, g, gradient);
    g.add(&own.entries);
    g
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

impl Settings {
    pub(super) fn activate(&self, x: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 }),
            Activation::Gelu => Function::Gelu.map(self.isa, x),
            Activation::GeluTanh => Function::TanhGelu.map(self.isa, x),
        }
    }

    /// `g f'(x)`, entry by entry.
    pub(super) fn activation_gradient(&self, x: &mut [f32], g: &mut [f32]) {
        match self.activation {
            Activation::Relu => x.iter_mut().for_each(|x| *x = f32::from(u8::from(*x > 0.0))),
            Activation::Gelu => Function::GeluSlope.map(self.isa, x),
            Activation::GeluTanh => Function::TanhGeluSlope.map(self.isa, x),
        }
        scale(g, x);
    }
}
