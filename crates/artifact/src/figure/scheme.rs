//! Schemes: matrices, arrows and text where they are put, drawn from numbers.

use super::canvas::{Anchor, Canvas};
use super::heat::{draw_colour_bar, draw_matrix, ink};
use super::style::{INK, Style};
use super::{Area, PanelFault};
use icl_numerics::largest;

/// An element of a scheme; positions in points from the panel's upper left corner.
#[derive(Debug, Clone)]
pub enum Mark {
    /// A matrix as colours, with a caption above.
    Matrix {
        /// Upper left corner.
        at: [f64; 2],
        /// Width and height.
        size: [f64; 2],
        /// Columns.
        columns: usize,
        /// Entries, row by row.
        entries: Vec<f64>,
        /// Ends of the colour scale.
        range: [f64; 2],
        /// Caption above.
        label: String,
    },
    /// An arrow with a caption at its middle, above the line.
    Arrow {
        /// Start.
        from: [f64; 2],
        /// Head.
        to: [f64; 2],
        /// Caption.
        label: String,
    },
    /// Text centred on its point.
    Text {
        /// Centre.
        at: [f64; 2],
        /// Font size in points.
        size: f64,
        /// Text.
        text: String,
    },
    /// Text on an entry of a matrix, centred on its point, in the ink that reads best there.
    Entry {
        /// Centre.
        at: [f64; 2],
        /// Font size in points.
        size: f64,
        /// Text.
        text: String,
        /// The entry.
        entry: f64,
        /// Ends of the matrix's colour scale.
        range: [f64; 2],
    },
    /// Text that reads upwards, centred on its point.
    Upright {
        /// Centre.
        at: [f64; 2],
        /// Text.
        text: String,
    },
    /// A horizontal colour bar.
    ColourBar {
        /// Upper left corner.
        at: [f64; 2],
        /// Width.
        width: f64,
        /// Ends of the scale.
        range: [f64; 2],
    },
    /// A frame around a part of the scheme.
    Frame {
        /// Upper left corner.
        at: [f64; 2],
        /// Width and height.
        size: [f64; 2],
    },
}

/// A free arrangement.
#[derive(Debug, Clone)]
pub struct SchemePanel {
    /// Elements, drawn in order.
    pub marks: Vec<Mark>,
}

const STROKE: Style = Style { colour: INK, dashes: &[], marker: None, width: 0.8 };
const FRAME: Style =
    Style { colour: [150, 150, 150], dashes: &[3.0, 2.0], marker: None, width: 0.6 };

impl SchemePanel {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<(), PanelFault> {
        let place = |[x, y]: [f64; 2]| [area.left + x, area.top + y];
        for mark in &self.marks {
            match mark {
                Mark::Matrix { at, size, columns, entries, range, label } => {
                    if *columns == 0
                        || entries.is_empty()
                        || !entries.len().is_multiple_of(*columns)
                    {
                        let found = format!("{} entries in {columns} columns", entries.len());
                        return Err((format!("matrix `{label}`"), found, "a filled matrix"));
                    }
                    let [left, top] = place(*at);
                    let matrix = Area { left, top, width: size[0], height: size[1] };
                    draw_matrix(canvas, matrix, *columns, entries, *range);
                    let middle = [left + size[0] / 2.0, top - 6.0];
                    canvas.text(label, middle, 7.0, INK, Anchor::Middle);
                }
                Mark::Arrow { from, to, label } => {
                    draw_arrow(canvas, place(*from), place(*to), label);
                }
                Mark::Text { at, size, text } => {
                    canvas.text(text, place(*at), *size, INK, Anchor::Middle);
                }
                Mark::Entry { at, size, text, entry, range } => {
                    canvas.text(text, place(*at), *size, ink(*entry, *range), Anchor::Middle);
                }
                Mark::Upright { at, text } => canvas.upright(text, place(*at), 7.0, INK),
                Mark::ColourBar { at, width, range } => {
                    let [left, top] = place(*at);
                    let bar = Area { left, top, width: *width, height: 6.0 };
                    draw_colour_bar(canvas, bar, *range);
                }
                Mark::Frame { at, size } => {
                    let [x, y] = place(*at);
                    let (right, bottom) = (x + size[0], y + size[1]);
                    let corners = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]];
                    canvas.line(&corners, FRAME);
                }
            }
        }
        Ok(())
    }
}

fn draw_arrow(canvas: &mut Canvas, from: [f64; 2], to: [f64; 2], label: &str) {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let length = largest::at_least((dx * dx + dy * dy).sqrt(), 1e-9);
    let (ux, uy) = (dx / length, dy / length);
    let base = [to[0] - 5.0 * ux, to[1] - 5.0 * uy];
    canvas.line(&[from, base], STROKE);
    let side = |s: f64| [base[0] - 2.2 * s * uy, base[1] + 2.2 * s * ux];
    canvas.area(&[to, side(1.0), side(-1.0)], INK, 1.0);
    let middle = [f64::midpoint(from[0], to[0]), f64::midpoint(from[1], to[1]) - 6.0];
    if !label.is_empty() {
        canvas.text(label, middle, 6.5, INK, Anchor::Middle);
    }
}
