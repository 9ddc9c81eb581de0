//! Schemes: matrices of one seeded prompt in a table, and how they are placed on a page.

use anyhow::Context as _;
use artifact::figure::{Figure, Mark, Panel, SchemePanel};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::{DualError, Matrix};
use icl_numerics::largest;
use icl_numerics::math;

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

/// A page on which matrices of a table are placed.
pub(crate) struct Page<'a> {
    table: &'a Table,
    marks: Vec<Mark>,
}

/// Where a matrix stands: upper left corner and the side of an entry, in points.
pub(crate) type Place = ([f64; 2], f64);

impl<'a> Page<'a> {
    /// An empty page over the matrices of `table`.
    pub(crate) fn new(table: &'a Table) -> Self {
        Self { table, marks: Vec::new() }
    }

    /// Entries, row by row, and the number of columns.
    pub(crate) fn matrix(&self, name: &str) -> anyhow::Result<(Vec<f64>, usize)> {
        let (names, columns) = (self.table.texts("matrix")?, self.table.integers("column")?);
        let values = self.table.floats("value")?;
        let rows: Vec<usize> = (0..values.len()).filter(|i| names[*i] == name).collect();
        let last = rows.iter().map(|i| columns[*i]).max();
        let last = last.with_context(|| format!("matrix `{name}` is not in the table"))?;
        Ok((rows.into_iter().map(|i| values[i]).collect(), last as usize + 1))
    }

    /// Largest absolute difference of two matrices.
    pub(crate) fn difference(&self, a: &str, b: &str) -> anyhow::Result<f64> {
        let (a, b) = (self.matrix(a)?.0, self.matrix(b)?.0);
        Ok(largest::difference(&a, &b))
    }

    /// The symmetric range that covers all the named matrices: their shared colour scale.
    pub(crate) fn range(&self, names: &[&str]) -> anyhow::Result<[f64; 2]> {
        let mut top = 0.0_f64;
        for name in names {
            top = largest::value([top, largest::magnitude(self.matrix(name)?.0)]);
        }
        // two digits are enough for a colour bar
        let unit = math::powi(10.0, math::log10(top).floor() as i32 - 1);
        let top = (top / unit).ceil() * unit;
        Ok([-top, top])
    }

    /// Draws a matrix with its label above; returns its right edge and the middle of its height.
    pub(crate) fn draw(
        &mut self,
        name: &str,
        label: &str,
        (at, cell): Place,
        range: [f64; 2],
    ) -> anyhow::Result<[f64; 2]> {
        let (entries, columns) = self.matrix(name)?;
        let rows = entries.len() / columns;
        let size = [cell * columns as f64, cell * rows as f64];
        self.marks.push(Mark::Matrix { at, size, columns, entries, range, label: label.into() });
        Ok([at[0] + size[0], at[1] + size[1] / 2.0])
    }

    /// Draws a column with its entries as numbers on its right.
    pub(crate) fn draw_column(
        &mut self,
        name: &str,
        label: &str,
        (at, cell): Place,
        range: [f64; 2],
    ) -> anyhow::Result<()> {
        let [right, _] = self.draw(name, label, (at, cell), range)?;
        for (i, x) in self.matrix(name)?.0.into_iter().enumerate() {
            let middle = at[1] + cell * (i as f64 + 0.5);
            self.small([right + 13.0, middle], short(x));
        }
        Ok(())
    }

    /// Draws the matrices `<name> 1`, `<name> 2`, ... side by side, `stride` apart.
    pub(crate) fn draw_steps(
        &mut self,
        name: &str,
        n: usize,
        (at, cell): Place,
        stride: f64,
        range: [f64; 2],
    ) -> anyhow::Result<()> {
        for i in 0..n {
            let at = [at[0] + stride * i as f64, at[1]];
            self.draw(&format!("{name} {}", i + 1), &(i + 1).to_string(), (at, cell), range)?;
        }
        Ok(())
    }

    /// An arrow with a label above its middle.
    pub(crate) fn arrow(&mut self, from: [f64; 2], to: [f64; 2], label: &str) {
        self.marks.push(Mark::Arrow { from, to, label: label.into() });
    }

    /// Text centred on its point.
    pub(crate) fn text(&mut self, at: [f64; 2], text: impl Into<String>) {
        self.marks.push(Mark::Text { at, size: 7.0, text: text.into() });
    }

    /// Small text centred on its point.
    pub(crate) fn small(&mut self, at: [f64; 2], text: impl Into<String>) {
        self.marks.push(Mark::Text { at, size: 5.5, text: text.into() });
    }

    /// Text that reads upwards, centred on its point.
    pub(crate) fn upright(&mut self, at: [f64; 2], text: impl Into<String>) {
        self.marks.push(Mark::Upright { at, text: text.into() });
    }

    /// A heading centred on its point.
    pub(crate) fn heading(&mut self, at: [f64; 2], text: &str) {
        self.marks.push(Mark::Text { at, size: 8.5, text: text.into() });
    }

    /// A frame.
    pub(crate) fn frame(&mut self, at: [f64; 2], size: [f64; 2]) {
        self.marks.push(Mark::Frame { at, size });
    }

    /// A colour bar with what it stands for.
    pub(crate) fn colour_bar(&mut self, at: [f64; 2], range: [f64; 2], label: &str) {
        self.text([at[0] + 30.0, at[1] - 6.0], label);
        self.marks.push(Mark::ColourBar { at, width: 60.0, range });
    }

    /// The figure.
    pub(crate) fn figure(self, id: &str, height: f64, caption: String) -> Figure {
        Figure {
            id: id.into(),
            columns: 1,
            panel_height: height,
            panels: vec![Panel::Scheme(SchemePanel { marks: self.marks })],
            caption,
        }
    }
}

/// A number in few characters, for a scheme.
pub(crate) fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e4).contains(&x.abs()) { format!("{x:.3}") } else { format!("{x:.1e}") }
}
