//! Products of the small matrices of attention, on lanes.

use icl_numerics::lanes::{LANES, Lane16, Lanes};

/// Rows of a tile of sums.
const ROWS: usize = 4;

/// Scalars `a(i, k)` of a matrix, at these distances.
#[derive(Clone, Copy)]
pub(super) struct Scalars<'a> {
    pub(super) entries: &'a [f32],
    /// Distance of two rows.
    pub(super) row: usize,
    /// Distance of two columns.
    pub(super) column: usize,
}

/// Rows of lanes: `width` of them in each row.
pub(super) struct Wide {
    pub(super) entries: Vec<Lane16>,
    pub(super) width: usize,
}

impl Wide {
    /// `rows x columns` numbers `f(row, column)`; columns are filled up with zeros.
    pub(super) fn new(rows: usize, columns: usize, f: impl Fn(usize, usize) -> f32) -> Self {
        let width = columns.div_ceil(LANES);
        let mut entries = vec![Lane16::ZERO; rows * width];
        for (i, row) in entries.chunks_exact_mut(width).enumerate() {
            for (j, x) in row.as_flattened_lanes().take(columns).enumerate() {
                *x = f(i, j);
            }
        }
        Self { entries, width }
    }
}

/// The numbers of lanes, one after another.
trait Flattened {
    fn as_flattened_lanes(&mut self) -> impl Iterator<Item = &mut f32>;
}

impl Flattened for [Lane16] {
    fn as_flattened_lanes(&mut self) -> impl Iterator<Item = &mut f32> {
        self.iter_mut().flat_map(|lane| lane.0.iter_mut())
    }
}

/// `out(i, ..) = sum_k a(i, k) b(k, ..)` for `rows` rows and `inner` terms, in the order of `k`; `out` has `columns`
/// numbers in each row.
#[inline(always)]
pub(super) fn product<L: Lanes>(
    l: L,
    out: &mut [f32],
    columns: usize,
    a: Scalars<'_>,
    b: &Wide,
    [rows, inner]: [usize; 2],
) {
    let whole = rows / ROWS * ROWS;
    for block in 0..b.width {
        let place = |i: usize| i * columns + block * LANES;
        let n = LANES.min(columns - block * LANES);
        for i in (0..whole).step_by(ROWS) {
            let sums = tile::<L, ROWS>(l, a, b, i, block, inner);
            for (r, sum) in sums.into_iter().enumerate() {
                out[place(i + r)..place(i + r) + n].copy_from_slice(&l.store(sum).0[..n]);
            }
        }
        for i in whole..rows {
            let [sum] = tile::<L, 1>(l, a, b, i, block, inner);
            out[place(i)..place(i) + n].copy_from_slice(&l.store(sum).0[..n]);
        }
    }
}

/// Sums of `R` rows from `i` on.
#[inline(always)]
fn tile<L: Lanes, const R: usize>(
    l: L,
    a: Scalars<'_>,
    b: &Wide,
    i: usize,
    block: usize,
    inner: usize,
) -> [L::F; R] {
    let mut sums = [l.splat(0.0); R];
    let start = i * a.row;
    for k in 0..inner {
        let x = l.load(&b.entries[k * b.width + block]);
        for r in 0..R {
            let a = l.splat(a.entries[start + r * a.row + k * a.column]);
            sums[r] = l.mul_add(a, x, sums[r]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::lanes::{Isa, Kernel};

    struct Product<'a>(&'a mut [f32], Scalars<'a>, &'a Wide);

    impl Kernel for Product<'_> {
        type Output = ();
        #[inline(always)]
        fn run<L: Lanes>(self, l: L) {
            product(l, self.0, 19, self.1, self.2, [7, 5]);
        }
    }

    #[test]
    fn products_are_those_of_loops_for_either_order_of_the_scalars() {
        let a: Vec<f32> = (0..35_u8).map(|i| f32::from(i) - 17.0).collect();
        let wide = Wide::new(5, 19, |i, j| (i * 19 + j) as f32);
        for (row, column) in [(5, 1), (1, 7)] {
            let mut out = vec![f32::NAN; 7 * 19];
            let scalars = Scalars { entries: &a, row, column };
            Isa::detect().run(Product(&mut out, scalars, &wide));
            for i in 0..7 {
                for j in 0..19 {
                    let term = |k: usize| a[i * row + k * column] * (k * 19 + j) as f32;
                    assert_eq!(out[i * 19 + j], (0..5).map(term).sum::<f32>());
                }
            }
        }
    }
}
