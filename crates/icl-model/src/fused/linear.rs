//! Small dense operations on lanes: vectors are `[Lane16]`, matrices are plain `f32` rows.

use icl_numerics::lanes::{Lane16, Lanes};

/// `sum_i a_i b_i`.
#[inline(always)]
pub(super) fn dot<L: Lanes>(l: L, a: &[Lane16], b: &[Lane16]) -> L::F {
    let mut sum = l.splat(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = l.mul_add(l.load(a), l.load(b), sum);
    }
    sum
}

/// `sum_i w_i x_i`.
#[inline(always)]
pub(super) fn dot_row<L: Lanes>(l: L, w: &[f32], x: &[Lane16]) -> L::F {
    let mut sum = l.splat(0.0);
    for (w, x) in w.iter().zip(x) {
        sum = l.mul_add(l.splat(*w), l.load(x), sum);
    }
    sum
}

/// `y_i += a x_i`.
#[inline(always)]
pub(super) fn add_scaled<L: Lanes>(l: L, y: &mut [Lane16], a: L::F, x: &[Lane16]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = l.store(l.mul_add(a, l.load(x), l.load(y)));
    }
}

/// `y_i += a w_i`.
#[inline(always)]
pub(super) fn add_scaled_row<L: Lanes>(l: L, y: &mut [Lane16], a: L::F, w: &[f32]) {
    for (y, w) in y.iter_mut().zip(w) {
        *y = l.store(l.mul_add(a, l.splat(*w), l.load(y)));
    }
}

/// `y = scale W x`, `W` of `y.len()` rows.
#[inline(always)]
pub(super) fn product<L: Lanes>(l: L, y: &mut [Lane16], scale: f32, w: &[f32], x: &[Lane16]) {
    for (y, row) in y.iter_mut().zip(w.chunks_exact(x.len())) {
        *y = l.store(l.mul(l.splat(scale), dot_row(l, row, x)));
    }
}

/// `y = scale W^T x`, `W` of `x.len()` rows of length `y.len()`.
#[inline(always)]
pub(super) fn product_transposed<L: Lanes>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[f32],
    x: &[Lane16],
) {
    y.fill(Lane16::ZERO);
    for (x, row) in x.iter().zip(w.chunks_exact(y.len())) {
        add_scaled_row(l, y, l.mul(l.splat(scale), l.load(x)), row);
    }
}

/// `G += scale a b^T`, rows of `G` of length `b.len()`.
#[inline(always)]
pub(super) fn add_outer<L: Lanes>(l: L, g: &mut [Lane16], scale: f32, a: &[Lane16], b: &[Lane16]) {
    for (a, row) in a.iter().zip(g.chunks_exact_mut(b.len())) {
        add_scaled(l, row, l.mul(l.splat(scale), l.load(a)), b);
    }
}
