//! Panels that show a matrix as colours, with a colour bar.

use super::canvas::{Anchor, Canvas, text_width};
use super::document::{self, Group};
use super::lines::draw_title;
use super::strokes::Rgb;
use super::style::{INK, LABEL, PAPER, SMALL, Style, diverging, sequential};
use super::ticks::plain_number;
use super::{Area, PanelFault};
use icl_numerics::largest;

/// A matrix as colours.
#[derive(Debug, Clone)]
pub struct HeatPanel {
    /// Title above.
    pub title: String,
    /// Label below.
    pub x_label: String,
    /// Label at the left.
    pub y_label: String,
    /// Columns of the matrix.
    pub columns: usize,
    /// Entries, row by row.
    pub entries: Vec<f64>,
    /// Ends of the colour scale; a scale that covers both signs is centred at zero.
    pub range: [f64; 2],
    /// Names of rows and columns, whose entries are printed too; empty for a matrix that fills its panel
    /// with square entries.
    pub names: [Vec<String>; 2],
}

/// Colour of `x` on a scale with the given ends.
pub(super) fn colour(x: f64, [low, high]: [f64; 2]) -> Rgb {
    if low < 0.0 {
        diverging(x / largest::at_least(high, -low))
    } else {
        sequential(if high > low { (x - low) / (high - low) } else { 0.0 })
    }
}

/// As [`colour`], of the root of an entry of both signs: small entries beside large ones stay visible.
pub(super) fn root_colour(x: f64, [low, high]: [f64; 2]) -> Rgb {
    if low < 0.0 {
        let t = x / largest::at_least(high, -low);
        diverging(t.abs().sqrt().copysign(t))
    } else {
        colour(x, [low, high])
    }
}

/// Whether white text reads better on a colour than black: by its luma (ITU-R BT.601).
fn is_dark([r, g, b]: Rgb) -> bool {
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) < 128_000
}

/// White or black, whichever reads better on the colour of `x`.
pub(super) fn ink(on: Rgb) -> Rgb {
    if is_dark(on) { PAPER } else { INK }
}

/// How an entry becomes a colour on a scale with the given ends.
pub(super) type Colouring = fn(f64, [f64; 2]) -> Rgb;

/// The cells of a matrix in a rectangle, with a frame; `gap` points of paper between them.
pub(super) fn draw_matrix(
    canvas: &mut Canvas,
    (name, area): (&str, Area),
    columns: usize,
    entries: &[f64],
    (colouring, range): (Colouring, [f64; 2]),
    gap: f64,
) {
    let rows = entries.len() / columns;
    let (w, h) = (area.width / columns as f64, area.height / rows as f64);
    canvas.group(Group::new(document::MATRIX, name), |canvas| {
        for (i, x) in entries.iter().enumerate() {
            let (row, column) = ((i / columns) as f64, (i % columns) as f64);
            let low = [area.left + column * w, area.top + row * h];
            canvas.rectangle(low, [low[0] + w - gap, low[1] + h - gap], colouring(*x, range));
        }
    });
    let (right, bottom) = (area.left + area.width, area.top + area.height);
    let frame = [
        [area.left, area.top],
        [right, area.top],
        [right, bottom],
        [area.left, bottom],
        [area.left, area.top],
    ];
    canvas.line(&frame, Style { colour: INK, dashes: &[], marker: None, width: 0.5 });
}

/// A horizontal colour bar with its ends written at both sides.
pub(super) fn draw_colour_bar(
    canvas: &mut Canvas,
    area: Area,
    (colouring, range): (Colouring, [f64; 2]),
) {
    let [low, high] = range;
    let low = if low < 0.0 { -largest::at_least(high, -low) } else { low };
    let high = if low < 0.0 { -low } else { high };
    let steps: Vec<f64> = (0..40).map(|i| low + (high - low) * f64::from(i) / 39.0).collect();
    draw_matrix(canvas, ("", area), steps.len(), &steps, (colouring, range), 0.0);
    let y = area.top + area.height / 2.0;
    canvas.text(&plain_number(low), [area.left - 3.0, y], SMALL, INK, Anchor::End);
    let right = area.left + area.width + 3.0;
    canvas.text(&plain_number(high), [right, y], SMALL, INK, Anchor::Start);
}

/// Room above named columns, and below for the label.
const NAMES: f64 = 20.0;
const BELOW: f64 = 14.0;
/// Room for a colour bar of a panel's own.
pub(super) const BAR: f64 = 14.0;

/// Refuses a matrix that is empty or whose last row is not full.
pub(super) fn check_filled(name: &str, entries: &[f64], columns: usize) -> Result<(), PanelFault> {
    if columns == 0 || entries.is_empty() || !entries.len().is_multiple_of(columns) {
        let found = format!("{} entries in {columns} columns", entries.len());
        return Err((format!("matrix `{name}`"), found, "a filled matrix"));
    }
    Ok(())
}

impl HeatPanel {
    /// Square entries without names; with names, entries as wide as the panel allows.
    fn place(&self, area: Area) -> Area {
        let rows = (self.entries.len() / self.columns) as f64;
        let columns = self.columns as f64;
        let (width, height) = (area.width - 18.0, area.height - 15.0 - BELOW);
        if !self.names[0].is_empty() {
            let names = largest::value(self.names[0].iter().map(|name| text_width(name, SMALL)));
            let (left, top) = (area.left + names + 8.0, area.top + 15.0 + NAMES);
            let (width, height) = (area.width - names - 14.0, height - NAMES);
            return Area { left, top, width, height };
        }
        let cell = largest::at_most(width / columns, height / rows);
        let (w, h) = (cell * columns, cell * rows);
        Area { left: area.left + 14.0, top: area.top + 14.0, width: w, height: h }
    }

    fn draw_names(&self, canvas: &mut Canvas, matrix: Area) {
        let [rows, columns] = &self.names;
        for (i, name) in rows.iter().enumerate() {
            let y = matrix.top + matrix.height * (i as f64 + 0.5) / rows.len() as f64;
            canvas.text(name, [matrix.left - 4.0, y], SMALL, INK, Anchor::End);
        }
        for (i, name) in columns.iter().enumerate() {
            let x = matrix.left + matrix.width * (i as f64 + 0.5) / columns.len() as f64;
            // no wider than the column, the last line next to the matrix
            let width = matrix.width / columns.len() as f64 - 2.0;
            let lines = super::canvas::wrap(name, SMALL, width);
            for (line, word) in lines.iter().rev().enumerate() {
                let y = matrix.top - 6.0 - 8.0 * line as f64;
                canvas.text(word, [x, y], SMALL, INK, Anchor::Middle);
            }
        }
    }

    /// Every entry as a number on its colour, which alone would lose its sign in print without colours.
    fn values(&self) -> Vec<String> {
        // adding zero turns a rounded -0 into 0
        let rounded =
            |x: &f64| super::ticks::signed(&format!("{:.3}", (x * 1e3).round() / 1e3 + 0.0));
        self.entries.iter().map(rounded).collect()
    }

    fn draw_texts(&self, canvas: &mut Canvas, matrix: Area, texts: &[String]) {
        let rows = self.entries.len() / self.columns;
        for (i, (x, text)) in self.entries.iter().zip(texts).enumerate() {
            let (row, column) = ((i / self.columns) as f64, (i % self.columns) as f64);
            let at = [
                matrix.left + matrix.width * (column + 0.5) / self.columns as f64,
                matrix.top + matrix.height * (row + 0.5) / rows as f64,
            ];
            canvas.text(text, at, SMALL, ink(colour(*x, self.range)), Anchor::Middle);
        }
    }

    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        area: Area,
        letter: &str,
        own_bar: bool,
    ) -> Result<(), PanelFault> {
        self.draw_with(canvas, area, letter, (&self.values(), own_bar))
    }

    fn draw_with(
        &self,
        canvas: &mut Canvas,
        area: Area,
        letter: &str,
        (texts, own_bar): (&[String], bool),
    ) -> Result<(), PanelFault> {
        check_filled(&self.title, &self.entries, self.columns)?;
        let room = if own_bar { BAR } else { 0.0 };
        let matrix = self.place(Area { height: area.height - room, ..area });
        let Area { left, top, width: w, height: h } = matrix;
        let named = !self.names[0].is_empty();
        let gap = if named { 0.5 } else { 0.0 };
        draw_matrix(
            canvas,
            (&self.title, matrix),
            self.columns,
            &self.entries,
            (colour, self.range),
            gap,
        );
        if named {
            self.draw_names(canvas, matrix);
            self.draw_texts(canvas, matrix, texts);
        }
        draw_title(canvas, letter, &self.title, area);
        let middle = left + w / 2.0;
        canvas.text(&self.x_label, [middle, top + h + 7.0], LABEL, INK, Anchor::Middle);
        canvas.upright(&self.y_label, [left - 7.0, top + h / 2.0], LABEL, INK);
        if own_bar {
            let below = if self.x_label.is_empty() { 5.0 } else { 14.0 };
            let (bar_left, bar_top) = (middle - 25.0, top + h + below);
            let bar = Area { left: bar_left, top: bar_top, width: 50.0, height: 5.0 };
            draw_colour_bar(canvas, bar, (colour, self.range));
        }
        Ok(())
    }
}

/// A matrix with names whose entries carry words instead of numbers.
#[derive(Debug, Clone)]
pub struct WordPanel {
    /// Colours, names and titles.
    pub heat: HeatPanel,
    /// What stands in each entry, row by row.
    pub words: Vec<String>,
}

impl WordPanel {
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        area: Area,
        letter: &str,
        own_bar: bool,
    ) -> Result<(), PanelFault> {
        let (found, entries) = (self.words.len(), self.heat.entries.len());
        if found != entries {
            let found = format!("{found} words for {entries} entries");
            return Err((format!("matrix `{}`", self.heat.title), found, "one for each entry"));
        }
        self.heat.draw_with(canvas, area, letter, (&self.words, own_bar))
    }
}
