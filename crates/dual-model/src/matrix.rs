//! A small row-major matrix.

use crate::{DualError, Real};

/// `rows x columns` numbers, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix<R = f64> {
    rows: usize,
    columns: usize,
    entries: Vec<R>,
}

impl<R: Real> Matrix<R> {
    /// A matrix from its entries, row by row.
    ///
    /// # Errors
    /// [`DualError::Size`] if their number is not `rows * columns`.
    pub fn new(rows: usize, columns: usize, entries: Vec<R>) -> Result<Self, DualError> {
        DualError::size("matrix entries", entries.len(), rows * columns)?;
        Ok(Self { rows, columns, entries })
    }

    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, entries: vec![R::ZERO; rows * columns] }
    }

    /// The matrix with entries `f(row, column)`.
    pub fn from_fn(rows: usize, columns: usize, f: impl Fn(usize, usize) -> R) -> Self {
        let entries = (0..rows * columns).map(|i| f(i / columns, i % columns)).collect();
        Self { rows, columns, entries }
    }

    /// A matrix of the given rows.
    ///
    /// # Errors
    /// [`DualError::Size`] if a row's length differs from the first one's.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a [R]>) -> Result<Self, DualError> {
        let rows: Vec<&[R]> = rows.into_iter().collect();
        let columns = rows.first().map_or(0, |row| row.len());
        for row in &rows {
            DualError::size("matrix row", row.len(), columns)?;
        }
        Ok(Self { rows: rows.len(), columns, entries: rows.concat() })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[R] {
        &self.entries[i * self.columns..(i + 1) * self.columns]
    }

    /// Row `i`, to be changed.
    pub fn row_mut(&mut self, i: usize) -> &mut [R] {
        &mut self.entries[i * self.columns..(i + 1) * self.columns]
    }

    /// All rows in order.
    pub fn iter_rows(&self) -> impl Iterator<Item = &[R]> {
        (0..self.rows).map(|i| self.row(i))
    }

    /// All entries, row by row.
    pub fn entries(&self) -> &[R] {
        &self.entries
    }

    /// All entries, to be changed.
    pub fn entries_mut(&mut self) -> &mut [R] {
        &mut self.entries
    }

    /// `A x`, sums in index order.
    ///
    /// # Errors
    /// [`DualError::Size`] if `x` is not as long as a row.
    pub fn apply(&self, x: &[R]) -> Result<Vec<R>, DualError> {
        DualError::size("matrix times vector", x.len(), self.columns)?;
        Ok(self.iter_rows().map(|row| R::dot(row, x)).collect())
    }

    /// `X A^T`: `A` applied to every row of `x`.
    ///
    /// # Errors
    /// [`DualError::Size`] if the rows of `x` are not as long as those of `A`.
    pub fn apply_to_rows(&self, x: &Self) -> Result<Self, DualError> {
        let mut entries = Vec::with_capacity(x.rows * self.rows);
        for row in x.iter_rows() {
            entries.extend(self.apply(row)?);
        }
        Self::new(x.rows, self.rows, entries)
    }
}
