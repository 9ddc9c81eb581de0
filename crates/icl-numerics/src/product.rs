//! The product of two matrices of `f32`, with bits that follow from its definition.
//!
//! Every entry is one chain of fused multiply-adds over the inner index, in its order, from zero:
//!
//! ```text
//! c = fma(a_0, b_0, 0),   c = fma(a_k, b_k, c)   for k = 1, 2, ..
//! ```
//!
//! Tiles, packing and caches decide about the speed alone.

use crate::lanes::{Isa, Kernel, LANES, Lane16, Lanes};

/// Rows of the left factor that are packed at a time: a few hundred kilobytes for inner sizes of some hundreds.
const BLOCK: usize = 96;

/// A matrix: entry `(i, j)` stands at `i row + j column`.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// Numbers.
    pub entries: &'a [f32],
    /// Distance of two rows.
    pub row: usize,
    /// Distance of two columns.
    pub column: usize,
}

impl<'a> Factor<'a> {
    /// Rows of `columns` numbers, one after another.
    pub fn rows(entries: &'a [f32], columns: usize) -> Self {
        Self { entries, row: columns, column: 1 }
    }

    /// Rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }
}

/// Room for packed factors, to be used again.
#[derive(Debug, Default)]
pub struct Packing {
    left: Vec<f32>,
    right: Vec<Lane16>,
}

/// `c = a b`, where `a` is `rows x inner`, `b` is `inner x columns` and `c` holds rows of `columns` numbers.
///
/// # Panics
/// If a factor or `c` is too small.
pub fn product(
    isa: Isa,
    c: &mut [f32],
    a: Factor<'_>,
    b: Factor<'_>,
    [rows, inner, columns]: [usize; 3],
    packing: &mut Packing,
) {
    assert_eq!(c.len(), rows * columns, "product: size of the result");
    if rows * inner * columns == 0 {
        return c.fill(0.0);
    }
    match isa {
        Isa::Avx512 => isa.run(Product::<8, 2> { c, a, b, rows, inner, columns, packing }),
        _ => isa.run(Product::<6, 1> { c, a, b, rows, inner, columns, packing }),
    }
}

/// A product by tiles of `R` rows and `W` lanes, whose sums stay in registers.
struct Product<'a, const R: usize, const W: usize> {
    c: &'a mut [f32],
    a: Factor<'a>,
    b: Factor<'a>,
    rows: usize,
    inner: usize,
    columns: usize,
    packing: &'a mut Packing,
}

impl<const R: usize, const W: usize> Kernel for Product<'_, R, W> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let Self { c, a, b, rows, inner, columns, packing } = self;
        let width = W * LANES;
        pack_right::<W>(&mut packing.right, b, inner, columns);
        for start in (0..rows).step_by(BLOCK) {
            let end = rows.min(start + BLOCK);
            pack_left::<R>(&mut packing.left, a, start..end, inner);
            let panels = packing.right.chunks_exact(inner * W);
            for (panel, first) in panels.zip((0..columns).step_by(width)) {
                let strips = packing.left.chunks_exact(inner * R);
                for (strip, row) in strips.zip((start..end).step_by(R)) {
                    let sums = tile::<L, R, W>(l, strip, panel, inner);
                    let height = R.min(end - row);
                    for r in 0..height {
                        let place = (row + r) * columns + first;
                        let n = width.min(columns - first);
                        write(l, &mut c[place..place + n], &sums[r]);
                    }
                }
            }
        }
    }
}

/// `R x W` sums.
#[inline(always)]
fn tile<L: Lanes, const R: usize, const W: usize>(
    l: L,
    strip: &[f32],
    panel: &[Lane16],
    inner: usize,
) -> [[L::F; W]; R] {
    let mut sums = [[l.splat(0.0); W]; R];
    let (strip, _) = strip[..inner * R].as_chunks::<R>();
    let (panel, _) = panel[..inner * W].as_chunks::<W>();
    for (a, b) in strip.iter().zip(panel) {
        let b: [L::F; W] = std::array::from_fn(|w| l.load(&b[w]));
        for r in 0..R {
            let a = l.splat(a[r]);
            for w in 0..W {
                sums[r][w] = l.mul_add(a, b[w], sums[r][w]);
            }
        }
    }
    sums
}

#[inline(always)]
fn write<L: Lanes, const W: usize>(l: L, row: &mut [f32], sums: &[L::F; W]) {
    for (w, part) in row.chunks_mut(LANES).enumerate() {
        let sum = l.store(sums[w]).0;
        match part.as_chunks_mut::<LANES>().0 {
            [whole] => *whole = sum,
            _ => part.copy_from_slice(&sum[..part.len()]),
        }
    }
}

/// Panels of `W` lanes of columns, one row of the factor after another; columns are filled up with zeros.
fn pack_right<const W: usize>(
    packed: &mut Vec<Lane16>,
    b: Factor<'_>,
    inner: usize,
    columns: usize,
) {
    let width = W * LANES;
    let packed = room(packed, columns.div_ceil(width) * inner * W, Lane16::ZERO);
    for (panel, first) in packed.chunks_exact_mut(inner * W).zip((0..columns).step_by(width)) {
        let n = width.min(columns - first);
        if n < width {
            panel.fill(Lane16::ZERO);
        }
        if b.column == 1 {
            for (k, lanes) in panel.chunks_exact_mut(W).enumerate() {
                let place = k * b.row + first;
                let row = b.entries[place..place + n].chunks(LANES);
                lanes
                    .iter_mut()
                    .zip(row)
                    .for_each(|(lane, x)| lane.0[..x.len()].copy_from_slice(x));
            }
        } else {
            for j in 0..n {
                let (w, lane, start) = (j / LANES, j % LANES, (first + j) * b.column);
                for k in 0..inner {
                    panel[k * W + w].0[lane] = b.entries[start + k * b.row];
                }
            }
        }
    }
}

/// The first `size` of what has room for them; what was there before stays, and is written over.
fn room<T: Copy>(packed: &mut Vec<T>, size: usize, any: T) -> &mut [T] {
    if packed.len() < size {
        // grown by halves at least, and without copying what nobody reads
        *packed = vec![any; size.max(packed.len() * 3 / 2)];
    }
    &mut packed[..size]
}

/// Strips of `R` rows, one column after another; rows are filled up with zeros.
fn pack_left<const R: usize>(
    packed: &mut Vec<f32>,
    a: Factor<'_>,
    rows: std::ops::Range<usize>,
    inner: usize,
) {
    let packed = room(packed, rows.len().div_ceil(R) * R * inner, 0.0);
    for (strip, first) in packed.chunks_exact_mut(inner * R).zip(rows.clone().step_by(R)) {
        let height = R.min(rows.end - first);
        if height < R {
            strip.fill(0.0);
        }
        if a.column == 1 && height == R {
            let rows: [&[f32]; R] = std::array::from_fn(|r| {
                let start = (first + r) * a.row;
                &a.entries[start..start + inner]
            });
            for (k, x) in strip.as_chunks_mut::<R>().0.iter_mut().enumerate() {
                for r in 0..R {
                    x[r] = rows[r][k];
                }
            }
        } else {
            for (k, x) in strip.chunks_exact_mut(R).enumerate() {
                for r in 0..height {
                    x[r] = a.entries[(first + r) * a.row + k * a.column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step) % 1.0 - 0.5).collect()
    }

    #[test]
    fn every_entry_is_its_chain_on_every_instruction_set_in_every_order_of_the_factors() {
        let mut packing = Packing::default();
        for shape in [[1, 1, 1], [7, 5, 3], [8, 32, 32], [97, 13, 33], [100, 600, 70], [3, 0, 4]] {
            let [rows, inner, columns] = shape;
            let (a, b) = (numbers(rows * inner, 0.377), numbers(inner * columns, 0.591));
            let lefts = [Factor::rows(&a, inner), Factor::rows(&a, rows).transposed()];
            let rights = [Factor::rows(&b, columns), Factor::rows(&b, inner).transposed()];
            for (left, right) in lefts.into_iter().flat_map(|a| rights.map(|b| (a, b))) {
                let chain = |i: usize, j: usize| {
                    let factors = (0..inner).map(|k| {
                        let a = left.entries[i * left.row + k * left.column];
                        (a, right.entries[k * right.row + j * right.column])
                    });
                    factors.fold(0.0_f32, |sum, (a, b)| libm::fmaf(a, b, sum))
                };
                for isa in Isa::available() {
                    let mut c = vec![f32::NAN; rows * columns];
                    product(isa, &mut c, left, right, shape, &mut packing);
                    for i in 0..rows {
                        for j in 0..columns {
                            let (found, wanted) = (c[i * columns + j], chain(i, j));
                            assert_eq!(found.to_bits(), wanted.to_bits(), "{shape:?} {isa:?}");
                        }
                    }
                }
            }
        }
    }
}
