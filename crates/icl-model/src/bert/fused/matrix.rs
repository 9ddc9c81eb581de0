//! Matrices of numbers, and affine maps of their rows with their gradients.

use super::buffer::{Buffer, Pool};
use crate::attention::Parameters;
use crate::ops;
use icl_numerics::lanes::Isa;
use icl_numerics::product::{Factor, Packing, product};
use std::cell::RefCell;
use std::ops::Range;

/// Rows of numbers.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    pub(super) entries: Buffer,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Matrix {
    pub(super) fn new(entries: Buffer, columns: usize) -> Self {
        let rows = entries.len() / columns;
        Self { entries, rows, columns }
    }

    /// `self += other`, entry by entry.
    pub(super) fn add(&mut self, other: &[f32]) {
        self.entries.iter_mut().zip(other).for_each(|(x, y)| *x += y);
    }
}

/// An affine map: where weight `[rows, columns]` and bias `[rows]` stand in the packed parameters.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

impl Map {
    /// The map of this name.
    pub(super) fn find(layout: &Parameters, name: &str) -> Option<Self> {
        let range = |part: &str| layout.range(&format!("{name}.{part}"));
        Some(Self { weight: range("weight")?, bias: range("bias")? })
    }
}

/// The parameters of a run, and what its products need.
#[derive(Debug)]
pub(in crate::bert) struct Run<'a> {
    pub(super) packed: &'a [f32],
    pub(super) isa: Isa,
    pub(super) pool: Pool,
    packing: RefCell<Packing>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.packing.take());
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(packed: &'a [f32], isa: Isa, pool: &Pool) -> Self {
        Self { packed, isa, pool: pool.clone(), packing: RefCell::new(pool.packing()) }
    }

    pub(super) fn get(&self, range: &Range<usize>) -> &'a [f32] {
        &self.packed[range.clone()]
    }

    fn product(&self, c: &mut [f32], a: Factor<'_>, b: Factor<'_>, shape: [usize; 3]) {
        product(self.isa, c, a, b, shape, &mut self.packing.borrow_mut());
    }

    /// `x W^T` of rows of `columns` numbers.
    pub(super) fn multiply(&self, weight: &Range<usize>, x: &[f32], columns: usize) -> Matrix {
        let (n, rows) = (x.len() / columns, weight.len() / columns);
        let mut y = Matrix::new(self.pool.take(n * rows), rows);
        let weight = Factor::rows(self.get(weight), columns).transposed();
        self.product(&mut y.entries, Factor::rows(x, columns), weight, [n, columns, rows]);
        y
    }

    /// The gradient of `x` from that of [`Self::multiply`]; that of the weight is put into `gradient`, which is packed like
    /// the parameters.
    pub(super) fn multiply_gradient(
        &self,
        weight: &Range<usize>,
        (x, columns): (&[f32], usize),
        of_y: &[f32],
        gradient: &mut [f32],
    ) -> Matrix {
        let (n, rows) = (x.len() / columns, weight.len() / columns);
        let of_y = Factor::rows(of_y, rows);
        let (place, shape) = (&mut gradient[weight.clone()], [rows, n, columns]);
        self.product(place, of_y.transposed(), Factor::rows(x, columns), shape);
        let mut of_x = Matrix::new(self.pool.take(x.len()), columns);
        let weight = Factor::rows(self.get(weight), columns);
        self.product(&mut of_x.entries, of_y, weight, [n, rows, columns]);
        of_x
    }

    /// `x W^T + b`.
    pub(super) fn apply(&self, map: &Map, x: &Matrix) -> Matrix {
        let mut y = self.multiply(&map.weight, &x.entries, x.columns);
        let bias = self.get(&map.bias);
        for row in y.entries.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        y
    }

    /// The gradient of `x` from that of [`Self::apply`]; those of weight and bias are put into `gradient`, which is packed
    /// like the parameters.
    pub(super) fn gradient(
        &self,
        map: &Map,
        x: &Matrix,
        of_y: &Matrix,
        gradient: &mut [f32],
    ) -> Matrix {
        let of_bias = ops::column_sums::<f32>(&of_y.entries, map.bias.len());
        gradient[map.bias.clone()].copy_from_slice(&of_bias);
        self.multiply_gradient(&map.weight, (&x.entries, x.columns), &of_y.entries, gradient)
    }
}
