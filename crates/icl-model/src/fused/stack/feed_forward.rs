//! The feed-forward part of a layer, `z = [a +] W_2 relu(W_1 a + b_1) + b_2`, on sixteen prompts.

use super::super::linear::{add_outers, add_product, add_product_transposed, product_transposed};
use super::super::weights::place;
use crate::ModelError;
use crate::attention::Parameters;
use icl_numerics::lanes::{Lane16, Lanes};
use std::ops::Range;

/// Where the variables lie in the packed parameters.
#[derive(Debug, Clone)]
pub(super) struct Offsets {
    w_1: Range<usize>,
    b_1: Range<usize>,
    w_2: Range<usize>,
    b_2: Range<usize>,
}

impl Offsets {
    /// The offsets of the variables whose names begin with `prefix`.
    pub(super) fn new(parameters: &Parameters, prefix: &str) -> Result<Self, ModelError> {
        let range = |name: &str| place(parameters, &format!("{prefix}{name}"));
        Ok(Self { w_1: range("w_1")?, b_1: range("b_1")?, w_2: range("w_2")?, b_2: range("b_2")? })
    }

    /// Hidden units.
    pub(super) fn d_ff(&self) -> usize {
        self.b_1.len()
    }
}

/// What the backward pass reads again, and its own buffer.
pub(super) struct FeedForwardScratch {
    /// `relu(W_1 a + b_1)`, `[queries, d_ff]`.
    active: Vec<Lane16>,
    /// Gradients towards `W_1 a + b_1`, `[queries, d_ff]`.
    d_active: Vec<Lane16>,
}

impl FeedForwardScratch {
    pub(super) fn new(queries: usize, d_ff: usize) -> Self {
        let zeros = || vec![Lane16::ZERO; queries * d_ff];
        Self { active: zeros(), d_active: zeros() }
    }
}

/// Adds `W_2 relu(W_1 a + b_1) + b_2` of every row of `a` `[queries, d]` to `z`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    parameters: &[f32],
    offsets: &Offsets,
    s: &mut FeedForwardScratch,
    a: &[Lane16],
    z: &mut [Lane16],
) {
    let b_1 = &parameters[offsets.b_1.clone()];
    let b_2 = &parameters[offsets.b_2.clone()];
    let rows = a.chunks_exact(b_2.len()).zip(z.chunks_exact_mut(b_2.len()));
    for ((a, z), active) in rows.zip(s.active.chunks_exact_mut(b_1.len())) {
        for (x, b) in active.iter_mut().zip(b_1) {
            *x = l.store(l.splat(*b));
        }
        add_product(l, active, 1.0, &parameters[offsets.w_1.clone()], a);
        for x in active.iter_mut() {
            *x = l.store(l.max(l.load(x), l.splat(0.0)));
        }
        for (z, b) in z.iter_mut().zip(b_2) {
            *z = l.store(l.add(l.load(z), l.splat(*b)));
        }
        add_product(l, z, 1.0, &parameters[offsets.w_2.clone()], active);
    }
}

/// Adds the gradient towards `a` to `d_a` and those of the weights to `gradient`, for `d_z`.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    (parameters, offsets): (&[f32], &Offsets),
    s: &mut FeedForwardScratch,
    a: &[Lane16],
    d_z: &[Lane16],
    d_a: &mut [Lane16],
    gradient: &mut [Lane16],
) {
    let (d_ff, d) = (offsets.b_1.len(), offsets.b_2.len());
    let zero = l.splat(0.0);
    let rows = s.active.chunks_exact(d_ff).zip(s.d_active.chunks_exact_mut(d_ff));
    for (((active, d_active), d_z), d_a) in
        rows.zip(d_z.chunks_exact(d)).zip(d_a.chunks_exact_mut(d))
    {
        product_transposed(l, d_active, 1.0, &parameters[offsets.w_2.clone()], d_z);
        for (dh, active) in d_active.iter_mut().zip(active) {
            *dh = l.store(l.select_gt(l.load(active), zero, l.load(dh), zero));
        }
        add_product_transposed(l, d_a, 1.0, &parameters[offsets.w_1.clone()], d_active);
    }
    add_outers(l, &mut gradient[offsets.w_2.clone()], 1.0, d_z, &s.active, [d, d_ff]);
    add_outers(l, &mut gradient[offsets.w_1.clone()], 1.0, &s.d_active, a, [d_ff, d]);
    add_rows(l, &mut gradient[offsets.b_2.clone()], d_z);
    add_rows(l, &mut gradient[offsets.b_1.clone()], &s.d_active);
}

/// Adds every row of `rows` to `y`.
#[inline(always)]
fn add_rows<L: Lanes>(l: L, y: &mut [Lane16], rows: &[Lane16]) {
    for row in rows.chunks_exact(y.len()) {
        for (y, x) in y.iter_mut().zip(row) {
            *y = l.store(l.add(l.load(y), l.load(x)));
        }
    }
}
