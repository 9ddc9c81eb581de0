//! Panels of rows: every value of a setting as a mark, with its mean or interval.

use super::axis::{Axis, Beyond};
use super::canvas::{Anchor, Canvas};
use super::document::{self, Group};
use super::lines::{ABOVE, BELOW, draw_title, draw_x_axis, hairline};
use super::strokes::Marker;
use super::style::{GRID, INK, LABEL, SMALL, Style};
use super::{Area, PanelFault};

/// Radius of a value's mark.
const DOT: f64 = 1.3;
/// Shares of a row's height to which values spread.
const SPREAD: f64 = 0.5;

/// A row: a setting, and what was found for it.
#[derive(Debug, Clone)]
pub struct DotRow {
    /// Name at the left.
    pub label: String,
    /// Its look.
    pub style: Style,
    /// Single values, one mark each.
    pub values: Vec<f64>,
    /// Mean, lower and upper end of an interval.
    pub interval: Option<[f64; 3]>,
    /// The largest value that is allowed, as a bar of its own.
    pub bound: Option<f64>,
    /// A word at the right.
    pub note: String,
    /// Whether a gap parts it from the row above.
    pub parted: bool,
}

/// Rows over one horizontal axis.
#[derive(Debug, Clone)]
pub struct DotPanel {
    /// Title above.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Rows, from above.
    pub rows: Vec<DotRow>,
    /// Vertical lines that rows are compared with, and their names.
    pub rules: Vec<(f64, String, Style)>,
    /// Room at the left for labels, and at the right for notes.
    pub margins: [f64; 2],
}

/// Height of a gap, in rows.
const GAP: f64 = 0.45;

impl DotPanel {
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        area: Area,
        letter: &str,
    ) -> Result<(), PanelFault> {
        if self.rows.is_empty() {
            return Err((format!("panel `{}`", self.title), "no row".into(), "at least one row"));
        }
        let [margin, notes] = self.margins;
        let (left, right) = (area.left + margin, area.left + area.width - 6.0 - notes);
        let (top, bottom) = (area.top + ABOVE, area.top + area.height - BELOW);
        let shown = self.rows.iter().flat_map(|row| {
            row.values.iter().copied().chain(row.interval.into_iter().flatten()).chain(row.bound)
        });
        let x = self.x.place(shown.chain(self.rules.iter().map(|rule| rule.0)), left, right)?;
        draw_title(canvas, letter, &self.title, area);
        canvas.group(Group::new(document::AXES, &format!("row; {}", self.x.label)), |canvas| {
            draw_x_axis(canvas, &x, [left, right, bottom]);
            let middle = f64::midpoint(left, right);
            canvas.text(&self.x.label, [middle, bottom + 18.0], LABEL, INK, Anchor::Middle);
            for (value, name, style) in &self.rules {
                let at = x.at(*value);
                canvas.line(&[[at, top - 2.0], [at, bottom]], *style);
                canvas.text(name, [at, top - 5.0], SMALL, INK, Anchor::Middle);
            }
        });
        let gaps = self.rows.iter().skip(1).filter(|row| row.parted).count() as f64;
        let height = (bottom - top) / (self.rows.len() as f64 + GAP * gaps);
        let mut y = top + height / 2.0;
        for (i, row) in self.rows.iter().enumerate() {
            y += if i > 0 && row.parted { GAP * height } else { 0.0 };
            canvas.line(&[[left, y], [right, y]], hairline(GRID));
            canvas.text(&row.label, [left - 4.0, y], SMALL, INK, Anchor::End);
            canvas.text(&row.note, [right + 5.0, y], SMALL, INK, Anchor::Start);
            let order: Vec<f64> = (0..row.values.len()).map(|i| i as f64).collect();
            canvas.group(Group::series(&row.label, &order, &row.values), |canvas| {
                row.draw(canvas, &x, y, height);
            });
            y += height;
        }
        Ok(())
    }
}

impl DotRow {
    fn draw(&self, canvas: &mut Canvas, x: &super::axis::Placed, y: f64, height: f64) {
        let colour = self.style.colour;
        if let Some([mean, low, high]) = self.interval {
            let bar = Style { width: 0.9, dashes: &[], ..self.style };
            canvas.line(&[[x.at(low), y], [x.at(high), y]], bar);
            if x.beyond(mean).is_some() {
                // what is left out is said to be
                canvas.marker([x.at(mean), y], 1.8, Marker::OpenDiamond, colour);
            }
            let (at, half) = (x.at(mean), 0.32 * height);
            let tick = Style { width: 1.8, dashes: &[], ..self.style };
            canvas.line(&[[at, y - half], [at, y + half]], tick);
        }
        if let Some(bound) = self.bound {
            let (at, half) = (x.at(bound), 0.36 * height);
            canvas.line(&[[at, y - half], [at, y + half]], Style { width: 1.4, ..Style::THEORY });
        }
        let n = self.values.len();
        for (i, value) in self.values.iter().enumerate() {
            // one after the other over the height, in the order of the seeds
            let share = if n > 1 { i as f64 / (n - 1) as f64 - 0.5 } else { 0.0 };
            let at = [x.at(*value), y + SPREAD * height * share];
            match x.beyond(*value) {
                None => canvas.marker(at, DOT, Marker::Ring, colour),
                Some(Beyond::Below | Beyond::Above) => {
                    canvas.marker(at, 1.8, Marker::OpenDiamond, colour);
                }
            }
        }
    }
}
