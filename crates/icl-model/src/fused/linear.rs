//! Small dense operations on lanes: vectors are `[Lane16]`; matrices are rows of weights, the same in every
//! lane (`f32`), or of numbers of their own in every lane (`Lane16`).

use icl_numerics::lanes::{Lane16, Lanes};

/// Entries that a tile of sums keeps in the registers.
const TILE: usize = 4;
/// Rows of a tile of outer products.
const ROWS: usize = 2;

/// An entry of a matrix.
pub(super) trait Entry: Copy {
    /// Its value in every lane.
    fn lanes<L: Lanes>(&self, l: L) -> L::F;
}

impl Entry for f32 {
    #[inline(always)]
    fn lanes<L: Lanes>(&self, l: L) -> L::F {
        l.splat(*self)
    }
}

impl Entry for Lane16 {
    #[inline(always)]
    fn lanes<L: Lanes>(&self, l: L) -> L::F {
        l.load(self)
    }
}

/// `sum_i w_i x_i`.
#[inline(always)]
pub(super) fn dot<L: Lanes>(l: L, w: &[impl Entry], x: &[Lane16]) -> L::F {
    let mut sum = l.splat(0.0);
    for (w, x) in w.iter().zip(x) {
        sum = l.mul_add(w.lanes(l), l.load(x), sum);
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

/// Dot products of `R` rows of `W`, from row `row` on, with `x`.
#[inline(always)]
fn dots<L: Lanes, const R: usize>(l: L, w: &[impl Entry], x: &[Lane16], row: usize) -> [L::F; R] {
    let d = x.len();
    let rows: [_; R] = std::array::from_fn(|r| &w[(row + r) * d..(row + r + 1) * d]);
    let mut sums = [l.splat(0.0); R];
    for i in 0..d {
        let x = l.load(&x[i]);
        for r in 0..R {
            sums[r] = l.mul_add(rows[r][i].lanes(l), x, sums[r]);
        }
    }
    sums
}

/// `y = scale W x`, `W` of `y.len()` rows.
#[inline(always)]
pub(super) fn product<L: Lanes>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
) {
    y.fill(Lane16::ZERO);
    add_product(l, y, scale, w, x);
}

/// `y += scale W x`, `W` of `y.len()` rows.
#[inline(always)]
pub(super) fn add_product<L: Lanes>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
) {
    let whole = y.len() / TILE * TILE;
    for row in (0..whole).step_by(TILE) {
        rows::<L, TILE>(l, y, scale, w, x, row);
    }
    for row in whole..y.len() {
        rows::<L, 1>(l, y, scale, w, x, row);
    }
}

/// `R` entries of [`add_product`] from `row` on.
#[inline(always)]
fn rows<L: Lanes, const R: usize>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
    row: usize,
) {
    let sums = dots::<L, R>(l, w, x, row);
    let y = &mut y[row..row + R];
    for r in 0..R {
        y[r] = l.store(l.mul_add(l.splat(scale), sums[r], l.load(&y[r])));
    }
}

/// `y = scale W^T x`, `W` of `x.len()` rows of length `y.len()`.
#[inline(always)]
pub(super) fn product_transposed<L: Lanes>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
) {
    y.fill(Lane16::ZERO);
    add_product_transposed(l, y, scale, w, x);
}

/// `y += scale W^T x`, `W` of `x.len()` rows of length `y.len()`.
#[inline(always)]
pub(super) fn add_product_transposed<L: Lanes>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
) {
    let whole = y.len() / TILE * TILE;
    for column in (0..whole).step_by(TILE) {
        columns::<L, TILE>(l, y, scale, w, x, column);
    }
    for column in whole..y.len() {
        columns::<L, 1>(l, y, scale, w, x, column);
    }
}

/// `C` entries of [`add_product_transposed`] from `column` on.
#[inline(always)]
fn columns<L: Lanes, const C: usize>(
    l: L,
    y: &mut [Lane16],
    scale: f32,
    w: &[impl Entry],
    x: &[Lane16],
    column: usize,
) {
    let d = y.len();
    let mut sums = [l.splat(0.0); C];
    for c in 0..C {
        sums[c] = l.load(&y[column + c]);
    }
    // indices, not chunks: every `chunks_exact` costs a division
    for (r, x) in x.iter().enumerate() {
        let start = r * d + column;
        let (x, row) = (l.mul(l.splat(scale), l.load(x)), &w[start..start + C]);
        for c in 0..C {
            sums[c] = l.mul_add(x, row[c].lanes(l), sums[c]);
        }
    }
    for c in 0..C {
        y[column + c] = l.store(sums[c]);
    }
}

/// `G += scale a b^T`, rows of `G` of length `b.len()`.
#[inline(always)]
pub(super) fn add_outer<L: Lanes>(l: L, g: &mut [Lane16], scale: f32, a: &[Lane16], b: &[Lane16]) {
    add_outers(l, g, scale, a, b, [a.len(), b.len()]);
}

/// `G += scale sum_j a_j b_j^T` over all tokens `j`; `G` is `[n_rows, n_columns]`, `a_j` has `n_rows` entries
/// and `b_j` `n_columns`. Tile by tile, the sums in registers, each in the order of the tokens.
#[inline(always)]
pub(super) fn add_outers<L: Lanes>(
    l: L,
    g: &mut [Lane16],
    scale: f32,
    a: &[Lane16],
    b: &[Lane16],
    [n_rows, n_columns]: [usize; 2],
) {
    let shape = [a.len() / n_rows, n_rows, n_columns];
    let whole = n_rows / ROWS * ROWS;
    for row in (0..whole).step_by(ROWS) {
        outer_rows::<L, ROWS>(l, g, scale, (a, b), shape, row);
    }
    for row in whole..n_rows {
        outer_rows::<L, 1>(l, g, scale, (a, b), shape, row);
    }
}

/// `R` rows of [`add_outers`].
#[inline(always)]
fn outer_rows<L: Lanes, const R: usize>(
    l: L,
    g: &mut [Lane16],
    scale: f32,
    ab: (&[Lane16], &[Lane16]),
    shape: [usize; 3],
    row: usize,
) {
    let n_columns = shape[2];
    let whole = n_columns / TILE * TILE;
    for column in (0..whole).step_by(TILE) {
        outer_tile::<L, R, TILE>(l, g, scale, ab, shape, [row, column]);
    }
    for column in whole..n_columns {
        outer_tile::<L, R, 1>(l, g, scale, ab, shape, [row, column]);
    }
}

/// `R` rows and `C` columns of [`add_outers`].
#[inline(always)]
fn outer_tile<L: Lanes, const R: usize, const C: usize>(
    l: L,
    g: &mut [Lane16],
    scale: f32,
    (a, b): (&[Lane16], &[Lane16]),
    [n, n_rows, n_columns]: [usize; 3],
    [row, column]: [usize; 2],
) {
    let place = row * n_columns + column;
    let mut sums = [[l.splat(0.0); C]; R];
    for r in 0..R {
        for c in 0..C {
            sums[r][c] = l.load(&g[place + r * n_columns + c]);
        }
    }
    for j in 0..n {
        let (a_start, b_start) = (j * n_rows + row, j * n_columns + column);
        let (a, b) = (&a[a_start..a_start + R], &b[b_start..b_start + C]);
        for r in 0..R {
            let a = l.mul(l.splat(scale), l.load(&a[r]));
            for c in 0..C {
                sums[r][c] = l.mul_add(a, l.load(&b[c]), sums[r][c]);
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            g[place + r * n_columns + c] = l.store(sums[r][c]);
        }
    }
}
