//! Matrices of numbers, and affine maps of their rows with their gradients.

use super::buffer::{Buffer, Pool};
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

    fn factor(&self) -> Factor<'_> {
        Factor::rows(&self.entries, self.columns)
    }
}

/// An affine map: where weight `[rows, columns]` and bias `[rows]` stand in the packed parameters.
#[derive(Debug, Clone)]
pub(super) struct Map {
    pub(super) weight: Range<usize>,
    pub(super) bias: Range<usize>,
}

impl Map {
    fn rows(&self) -> usize {
        self.bias.len()
    }

    fn columns(&self) -> usize {
        self.weight.len() / self.rows()
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

impl<'a> Run<'a> {
    pub(super) fn new(packed: &'a [f32], isa: Isa, pool: &Pool) -> Self {
        Self { packed, isa, pool: pool.clone(), packing: RefCell::default() }
    }

    pub(super) fn get(&self, range: &Range<usize>) -> &'a [f32] {
        &self.packed[range.clone()]
    }

    fn weight(&self, map: &Map) -> Factor<'a> {
        Factor::rows(self.get(&map.weight), map.columns())
    }

    fn product(&self, c: &mut [f32], a: Factor<'_>, b: Factor<'_>, shape: [usize; 3]) {
        product(self.isa, c, a, b, shape, &mut self.packing.borrow_mut());
    }

    /// `x W^T + b`.
    pub(super) fn apply(&self, map: &Map, x: &Matrix) -> Matrix {
        let shape = [x.rows, map.columns(), map.rows()];
        let mut y = Matrix::new(self.pool.take(x.rows * map.rows()), map.rows());
        self.product(&mut y.entries, x.factor(), self.weight(map).transposed(), shape);
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
        let shape = [map.rows(), x.rows, map.columns()];
        let of_weight = &mut gradient[map.weight.clone()];
        self.product(of_weight, of_y.factor().transposed(), x.factor(), shape);
        let of_bias = ops::column_sums::<f32>(&of_y.entries, map.rows());
        gradient[map.bias.clone()].copy_from_slice(&of_bias);
        let shape = [x.rows, map.rows(), map.columns()];
        let mut of_x = Matrix::new(self.pool.take(x.rows * x.columns), x.columns);
        self.product(&mut of_x.entries, of_y.factor(), self.weight(map), shape);
        of_x
    }
}
