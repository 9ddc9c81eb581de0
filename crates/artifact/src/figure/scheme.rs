//! Schemes: matrices, arrows and text where they are put, drawn from numbers.

use super::canvas::{Anchor, Canvas};
use super::heat::{Colouring, check_filled, draw_colour_bar, draw_matrix, ink, root_colour};
use super::style::{INK, LABEL, SMALL, Style};
use super::{Area, PanelFault};
use icl_numerics::largest;

/// An element of a scheme; positions in units from the panel's upper left corner, [`UNITS`] over its width; text in
/// points of the page.
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
        /// Whether a dash marks the negative ones.
        signed: bool,
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
    /// An outline that follows one thing through the scheme.
    Followed {
        /// Upper left corner.
        at: [f64; 2],
        /// Width and height.
        size: [f64; 2],
    },
    /// A frame around a part of the scheme.
    Frame {
        /// Upper left corner.
        at: [f64; 2],
        /// Width and height.
        size: [f64; 2],
    },
}

/// Units over the width of a scheme.
pub const UNITS: f64 = 488.0;

/// A free arrangement.
#[derive(Debug, Clone)]
pub struct SchemePanel {
    /// Elements, drawn in order.
    pub marks: Vec<Mark>,
}

const STROKE: Style = Style { colour: INK, dashes: &[], marker: None, width: 0.8 };
const FOLLOWED: Style = Style { colour: [224, 160, 48], dashes: &[], marker: None, width: 1.6 };
const FRAME: Style =
    Style { colour: [150, 150, 150], dashes: &[3.0, 2.0], marker: None, width: 0.6 };

/// Share of a matrix's colour above which an entry's sign is marked: below it there is next to no colour either.
const COLOURED: f64 = 0.12;

/// A dash on every entry that is negative: colours of both signs are equally dark, so that without hue the dash tells them
/// apart.
fn draw_signs(canvas: &mut Canvas, area: Area, columns: usize, entries: &[f64], range: [f64; 2]) {
    let (w, h) = (area.width / columns as f64, area.height * columns as f64 / entries.len() as f64);
    let most = largest::magnitude(range);
    for (i, x) in entries.iter().enumerate().filter(|(_, x)| **x < 0.0) {
        if (-x / most).sqrt() < COLOURED {
            continue;
        }
        let (row, column) = ((i / columns) as f64, (i % columns) as f64);
        let middle = [area.left + w * (column + 0.5), area.top + h * (row + 0.5)];
        let half = 0.16 * w;
        let style = Style { colour: ink(root_colour(*x, range)), width: 0.5, ..STROKE };
        canvas.line(&[[middle[0] - half, middle[1]], [middle[0] + half, middle[1]]], style);
    }
}

impl SchemePanel {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<(), PanelFault> {
        let unit = area.width / UNITS;
        let place = |[x, y]: [f64; 2]| [area.left + unit * x, area.top + unit * y];
        let readable = |size: f64| largest::at_least(size, SMALL);
        for mark in &self.marks {
            match mark {
                Mark::Matrix { at, size, columns, entries, range, label, signed } => {
                    check_filled(label, entries, *columns)?;
                    let [left, top] = place(*at);
                    let [width, height] = size.map(|length| unit * length);
                    let matrix = Area { left, top, width, height };
                    let scale = (root_colour as Colouring, *range);
                    draw_matrix(canvas, (label, matrix), *columns, entries, scale, 0.0);
                    if *signed {
                        draw_signs(canvas, matrix, *columns, entries, *range);
                    }
                    let middle = [left + width / 2.0, top - 5.5];
                    canvas.text(label, middle, SMALL, INK, Anchor::Middle);
                }
                Mark::Arrow { from, to, label } => {
                    draw_arrow(canvas, place(*from), place(*to), label);
                }
                Mark::Text { at, size, text } => {
                    canvas.text(text, place(*at), readable(*size), INK, Anchor::Middle);
                }
                Mark::Entry { at, size, text, entry, range } => {
                    let size = readable(*size);
                    canvas.text(
                        text,
                        place(*at),
                        size,
                        ink(root_colour(*entry, *range)),
                        Anchor::Middle,
                    );
                }
                Mark::Upright { at, text } => canvas.upright(text, place(*at), LABEL, INK),
                Mark::ColourBar { at, width, range } => {
                    let [left, top] = place(*at);
                    let bar = Area { left, top, width: unit * width, height: 5.0 };
                    draw_colour_bar(canvas, bar, (root_colour, *range));
                }
                Mark::Frame { at, size } | Mark::Followed { at, size } => {
                    let [x, y] = place(*at);
                    let (right, bottom) = (x + unit * size[0], y + unit * size[1]);
                    let corners = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]];
                    let followed = matches!(mark, Mark::Followed { .. });
                    canvas.line(&corners, if followed { FOLLOWED } else { FRAME });
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
    let base = [to[0] - 4.0 * ux, to[1] - 4.0 * uy];
    canvas.line(&[from, base], STROKE);
    let side = |s: f64| [base[0] - 1.8 * s * uy, base[1] + 1.8 * s * ux];
    canvas.area(&[to, side(1.0), side(-1.0)], INK, 1.0);
    let middle = [f64::midpoint(from[0], to[0]), f64::midpoint(from[1], to[1]) - 6.0];
    if !label.is_empty() {
        canvas.text(label, middle, SMALL, INK, Anchor::Middle);
    }
}
