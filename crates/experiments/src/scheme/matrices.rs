//! Matrices of one seeded prompt in a table.

use artifact::table::{ColumnType, Schema, Table};
use dual_model::{DualError, Matrix};

/// The cell and the table of a scheme.
pub(crate) const MATRICES: &str = "matrices";

/// Columns of a table of matrices.
pub(crate) fn schema() -> Schema {
    vec![
        ("matrix".into(), ColumnType::Text),
        ("row".into(), ColumnType::Integer),
        ("column".into(), ColumnType::Integer),
        ("value".into(), ColumnType::Float),
    ]
}

/// Named matrices on their way to a table.
#[derive(Debug, Default)]
pub(crate) struct Matrices(Vec<(String, Matrix)>);

impl Matrices {
    /// Adds a matrix.
    pub(crate) fn add(&mut self, name: impl Into<String>, matrix: Matrix) {
        self.0.push((name.into(), matrix));
    }

    /// Adds columns side by side.
    pub(crate) fn add_columns(&mut self, name: impl Into<String>, columns: &[Vec<f64>]) {
        let rows = columns.first().map_or(0, Vec::len);
        self.add(name, Matrix::from_fn(rows, columns.len(), |i, j| columns[j][i]));
    }

    /// Adds the rows of a matrix side by side, as columns.
    pub(crate) fn add_transposed(&mut self, name: impl Into<String>, rows: &Matrix) {
        let entry = |i: usize, j: usize| rows.row(j)[i];
        self.add(name, Matrix::from_fn(rows.columns(), rows.rows(), entry));
    }

    /// Takes `n` steps and adds what each changed of `W`, as `<name> 1`, `<name> 2`, ....
    pub(crate) fn add_steps<S>(
        &mut self,
        name: &str,
        state: &mut S,
        n: usize,
        weights: fn(&S) -> &Matrix,
        mut step: impl FnMut(&mut S, usize) -> Result<(), DualError>,
    ) -> anyhow::Result<()> {
        for i in 0..n {
            let before = weights(state).clone();
            step(state, i)?;
            let after = weights(state);
            let change = |r: usize, c: usize| after.row(r)[c] - before.row(r)[c];
            let change = Matrix::from_fn(before.rows(), before.columns(), change);
            self.add(format!("{name} {}", i + 1), change);
        }
        Ok(())
    }

    /// One row for every entry.
    pub(crate) fn to_table(&self, name: &str) -> anyhow::Result<Table> {
        let (mut names, mut rows, mut columns, mut values) = (vec![], vec![], vec![], vec![]);
        for (name, matrix) in &self.0 {
            for (i, row) in matrix.iter_rows().enumerate() {
                for (j, x) in row.iter().enumerate() {
                    names.push(name.as_str());
                    rows.push(i as i64);
                    columns.push(j as i64);
                    values.push(*x);
                }
            }
        }
        let table = Table::builder(name)
            .texts("matrix", &names)
            .integers("row", rows)
            .integers("column", columns)
            .floats("value", values)
            .build()?;
        Ok(table)
    }
}
