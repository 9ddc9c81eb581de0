//! Matrices of numbers, and affine maps of their rows with their gradients.

use crate::ModelError;
use crate::ops;
use candle_core::{CpuStorage, Layout};
use std::ops::Range;

/// Rows of numbers.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    storage: CpuStorage,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Matrix {
    pub(super) fn new(entries: Vec<f32>, columns: usize) -> Self {
        let rows = entries.len() / columns;
        Self { storage: CpuStorage::F32(entries), rows, columns }
    }

    pub(super) fn entries(&self) -> &[f32] {
        match &self.storage {
            CpuStorage::F32(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn entries_mut(&mut self) -> &mut [f32] {
        match &mut self.storage {
            CpuStorage::F32(entries) => entries,
            _ => &mut [],
        }
    }

    pub(super) fn into_entries(self) -> Vec<f32> {
        match self.storage {
            CpuStorage::F32(entries) => entries,
            _ => Vec::new(),
        }
    }

    /// `self += other`, entry by entry.
    pub(super) fn add(&mut self, other: &[f32]) {
        self.entries_mut().iter_mut().zip(other).for_each(|(x, y)| *x += y);
    }

    fn layout(&self) -> Layout {
        Layout::contiguous((self.rows, self.columns))
    }
}

/// The variables behind the embedding's tables, and where they stand.
#[derive(Debug)]
pub(in crate::bert) struct Variables {
    storage: CpuStorage,
    /// Numbers before the first of them in the packed parameters.
    before: usize,
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

impl Variables {
    pub(super) fn new(packed: &[f32], before: usize) -> Self {
        Self { storage: CpuStorage::F32(packed[before..].to_vec()), before }
    }

    pub(super) fn get(&self, range: &Range<usize>) -> &[f32] {
        match &self.storage {
            CpuStorage::F32(entries) => {
                &entries[range.start - self.before..range.end - self.before]
            }
            _ => &[],
        }
    }

    fn weight(&self, map: &Map) -> Layout {
        let shape = (map.rows(), map.columns());
        Layout::contiguous_with_offset(shape, map.weight.start - self.before)
    }

    /// `x W^T + b`.
    pub(super) fn apply(&self, map: &Map, x: &Matrix) -> Result<Matrix, ModelError> {
        let transposed = self.weight(map).transpose(0, 1)?;
        let (storage, _) = ops::multiply(&x.storage, &x.layout(), &self.storage, &transposed)?;
        let mut y = Matrix { storage, rows: x.rows, columns: map.rows() };
        let bias = self.get(&map.bias);
        for row in y.entries_mut().chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        Ok(y)
    }

    /// The gradient of `x` from that of [`Self::apply`]; those of weight and bias are put into `gradient`, which is packed
    /// like the parameters.
    pub(super) fn gradient(
        &self,
        map: &Map,
        x: &Matrix,
        of_y: &Matrix,
        gradient: &mut [f32],
    ) -> Result<Matrix, ModelError> {
        let transposed = of_y.layout().transpose(0, 1)?;
        let (of_w, _) = ops::multiply(&of_y.storage, &transposed, &x.storage, &x.layout())?;
        gradient[map.weight.clone()].copy_from_slice(of_w.as_slice::<f32>()?);
        let of_b = ops::column_sums::<f32>(of_y.entries(), map.rows());
        gradient[map.bias.clone()].copy_from_slice(&of_b);
        let (of_x, _) =
            ops::multiply(&of_y.storage, &of_y.layout(), &self.storage, &self.weight(map))?;
        Ok(Matrix { storage: of_x, rows: x.rows, columns: x.columns })
    }
}
