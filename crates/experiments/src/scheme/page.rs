//! The page on which matrices of a table are placed.

use anyhow::Context as _;
use artifact::figure::{Figure, Mark, Panel, SchemePanel, plain_number};
use artifact::table::Table;
use icl_numerics::{largest, math};
use std::collections::BTreeMap;

/// A page on which matrices of a table are placed.
pub(crate) struct Page<'a> {
    table: &'a Table,
    marks: Vec<Mark>,
    /// Where matrices were drawn: corner, side of an entry, rows.
    places: BTreeMap<String, ([f64; 2], f64, usize)>,
}

/// Share of the scale below which a matrix looks empty: it says how little there is.
const EMPTY: f64 = 0.01;

/// Where a matrix stands: upper left corner and the side of an entry, in points.
pub(crate) type Place = ([f64; 2], f64);

impl<'a> Page<'a> {
    /// An empty page over the matrices of `table`.
    pub(crate) fn new(table: &'a Table) -> Self {
        Self { table, marks: Vec::new(), places: BTreeMap::new() }
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
        self.places.insert(name.to_owned(), (at, cell, rows));
        let most = largest::magnitude(entries.iter().copied());
        let label = label.into();
        let signed = true;
        self.marks.push(Mark::Matrix { at, size, columns, entries, range, label, signed });
        if most < EMPTY * range[1] {
            let middle = [at[0] + size[0] / 2.0, at[1] + size[1] / 2.0];
            self.small(middle, if most == 0.0 { "0" } else { "< 1 %" });
        }
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
            self.small([right + 18.0, middle], short(x));
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

    /// Outlines one column of matrices that are drawn already.
    pub(crate) fn follow(&mut self, names: &[&str], column: usize) {
        for name in names {
            if let Some((at, cell, rows)) = self.places.get(*name) {
                let at = [at[0] + cell * column as f64, at[1]];
                self.marks.push(Mark::Followed { at, size: [*cell, cell * *rows as f64] });
            }
        }
    }

    /// Outlines a whole matrix that is drawn already.
    pub(crate) fn follow_whole(&mut self, name: &str) -> anyhow::Result<()> {
        let (_, columns) = self.matrix(name)?;
        if let Some((at, cell, rows)) = self.places.get(name) {
            let size = [cell * columns as f64, cell * *rows as f64];
            self.marks.push(Mark::Followed { at: *at, size });
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
            shares: vec![],
            panel_height: height,
            panels: vec![Panel::Scheme(SchemePanel { marks: self.marks })],
            caption,
        }
    }
}

/// A number in few characters, for a scheme.
pub(crate) fn short(x: f64) -> String {
    if x == 0.0 || (1e-3..1e4).contains(&x.abs()) {
        format!("{x:.3}").replace('-', "−")
    } else {
        plain_number(x)
    }
}
