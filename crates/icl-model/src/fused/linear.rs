//! Small dense operations on lanes: vectors are `[Lane16]`, matrices are plain `f32` rows.

use icl_numerics::lanes::{Lane16, Lanes};

/// Rows and columns that a tile of sums keeps in the registers.
const TILE: usize = 4;

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
    let d = x.len();
    let mut rows = y.chunks_exact_mut(TILE);
    let mut w = w;
    for y in &mut rows {
        let (tile, rest) = w.split_at(TILE * d);
        let mut sums = [l.splat(0.0); TILE];
        for (i, x) in x.iter().enumerate() {
            let x = l.load(x);
            for r in 0..TILE {
                sums[r] = l.mul_add(l.splat(tile[r * d + i]), x, sums[r]);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = l.store(l.mul(l.splat(scale), sum));
        }
        w = rest;
    }
    for (y, row) in rows.into_remainder().iter_mut().zip(w.chunks_exact(d)) {
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

/// `G += scale sum_j a_j b_j^T` over all tokens `j`, `a_j` and `b_j` of size `d`; tile by tile, the sums in
/// registers, each in the order of the tokens.
#[inline(always)]
pub(super) fn add_outers<L: Lanes>(
    l: L,
    g: &mut [Lane16],
    scale: f32,
    a: &[Lane16],
    b: &[Lane16],
    d: usize,
) {
    let whole = d / TILE * TILE;
    for row in 0..d {
        for column in (0..whole).step_by(TILE) {
            outer_tile::<L, TILE>(l, g, scale, (a, b), d, [row, column]);
        }
        for column in whole..d {
            outer_tile::<L, 1>(l, g, scale, (a, b), d, [row, column]);
        }
    }
}

/// One row, `C` columns.
#[inline(always)]
fn outer_tile<L: Lanes, const C: usize>(
    l: L,
    g: &mut [Lane16],
    scale: f32,
    (a, b): (&[Lane16], &[Lane16]),
    d: usize,
    [row, column]: [usize; 2],
) {
    let place = row * d + column;
    let mut sums = [l.splat(0.0); C];
    for c in 0..C {
        sums[c] = l.load(&g[place + c]);
    }
    for (a, b) in a.chunks_exact(d).zip(b.chunks_exact(d)) {
        let a = l.mul(l.splat(scale), l.load(&a[row]));
        for c in 0..C {
            sums[c] = l.mul_add(a, l.load(&b[column + c]), sums[c]);
        }
    }
    for (c, sum) in sums.into_iter().enumerate() {
        g[place + c] = l.store(sum);
    }
}
