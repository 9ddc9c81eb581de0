//! Products of square matrices, of which every lane has its own.

use icl_numerics::lanes::{Lane16, Lanes};

/// A matrix `[d, d]`, as it stands or transposed.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    entries: &'a [Lane16],
    row: usize,
    column: usize,
}

/// The matrix as it stands.
#[inline(always)]
pub(super) fn plain(entries: &[Lane16], d: usize) -> View<'_> {
    View { entries, row: d, column: 1 }
}

/// Its transpose.
#[inline(always)]
pub(super) fn transposed(entries: &[Lane16], d: usize) -> View<'_> {
    View { entries, row: 1, column: d }
}

/// `sum += A B`; every entry is one chain of fused multiply-adds.
#[inline(always)]
pub(super) fn add_product<L: Lanes>(l: L, sum: &mut [Lane16], a: View<'_>, b: View<'_>, d: usize) {
    for (i, row) in sum.chunks_exact_mut(d).enumerate() {
        for (j, entry) in row.iter_mut().enumerate() {
            let mut x = l.load(entry);
            for k in 0..d {
                let a = l.load(&a.entries[i * a.row + k * a.column]);
                x = l.mul_add(a, l.load(&b.entries[k * b.row + j * b.column]), x);
            }
            *entry = l.store(x);
        }
    }
}

/// `A B`.
#[inline(always)]
pub(super) fn product<L: Lanes>(l: L, out: &mut [Lane16], a: View<'_>, b: View<'_>, d: usize) {
    out.fill(Lane16::ZERO);
    add_product(l, out, a, b, d);
}

/// `I + A B`.
#[inline(always)]
pub(super) fn one_and_product<L: Lanes>(
    l: L,
    out: &mut [Lane16],
    a: View<'_>,
    b: View<'_>,
    d: usize,
) {
    identity(out, d);
    add_product(l, out, a, b, d);
}

/// `I`.
#[inline(always)]
pub(super) fn identity(out: &mut [Lane16], d: usize) {
    for (i, entry) in out.iter_mut().enumerate() {
        *entry = Lane16([if i / d == i % d { 1.0 } else { 0.0 }; 16]);
    }
}

/// `A + A^T`.
#[inline(always)]
pub(super) fn symmetric_part<L: Lanes>(l: L, out: &mut [Lane16], a: &[Lane16], d: usize) {
    for (ij, entry) in out.iter_mut().enumerate() {
        let (i, j) = (ij / d, ij % d);
        *entry = l.store(l.add(l.load(&a[ij]), l.load(&a[j * d + i])));
    }
}
