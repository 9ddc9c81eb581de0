//! Panels of lines with bands.

use super::axis::{Axis, Placed};
use super::canvas::{Anchor, Canvas, text_width};
use super::style::{GRID, INK, Style};
use super::{Area, PanelFault};

const TEXT: f64 = 7.0;
const TITLE: f64 = 8.0;
const LEGEND_LINE: f64 = 9.5;

/// A series of a panel.
#[derive(Debug, Clone)]
pub struct Series {
    label: String,
    style: Style,
    x: Vec<f64>,
    y: Vec<f64>,
    band: Option<(Vec<f64>, Vec<f64>)>,
    connected: bool,
}

impl Series {
    /// A line through the points, ascending in `x`.
    pub fn line(label: &str, style: Style, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { label: label.into(), style, x, y, band: None, connected: true }
    }

    /// Separate points.
    pub fn points(label: &str, style: Style, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self { label: label.into(), style, x, y, band: None, connected: false }
    }

    /// Adds a band between `lower` and `upper`.
    #[must_use]
    pub fn with_band(mut self, lower: Vec<f64>, upper: Vec<f64>) -> Self {
        self.band = Some((lower, upper));
        self
    }

    fn check(&self) -> Result<(), PanelFault> {
        let n = self.x.len();
        let same = |other: &Vec<f64>| other.len() == n;
        let bands = self.band.as_ref().is_none_or(|(low, high)| same(low) && same(high));
        if n == 0 || !same(&self.y) || !bands {
            let found = format!("{n} x, {} y", self.y.len());
            return Err((
                format!("series `{}`", self.label),
                found,
                "as many y as x, at least one",
            ));
        }
        Ok(())
    }

    fn ys(&self) -> impl Iterator<Item = f64> + '_ {
        let bands = self.band.iter().flat_map(|(low, high)| low.iter().chain(high));
        self.y.iter().chain(bands).copied()
    }
}

/// Lines over two axes with a legend below.
#[derive(Debug, Clone)]
pub struct LinePanel {
    /// Title above.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Series, drawn in order; those with an empty label stay out of the legend.
    pub series: Vec<Series>,
}

impl LinePanel {
    pub(super) fn draw(&self, canvas: &mut Canvas, area: Area) -> Result<(), PanelFault> {
        self.series.iter().try_for_each(Series::check)?;
        let legend = self.legend_rows(area.width - 16.0);
        let (left, right) = (area.left + 40.0, area.left + area.width - 8.0);
        let top = area.top + 16.0;
        let bottom = area.top + area.height - 30.0 - LEGEND_LINE * legend.len() as f64;
        let x = self.x.place(self.series.iter().flat_map(|s| s.x.iter().copied()), left, right)?;
        let y = self.y.place(self.series.iter().flat_map(Series::ys), bottom, top)?;

        let middle = f64::midpoint(left, right);
        canvas.text(&self.title, [middle, area.top + 7.0], TITLE, INK, Anchor::Middle);
        draw_axes(canvas, (&x, &y), [left, right, top, bottom]);
        canvas.upright(&self.y.label, [area.left + 6.0, f64::midpoint(top, bottom)], TEXT, INK);
        canvas.text(&self.x.label, [middle, bottom + 20.0], TEXT, INK, Anchor::Middle);
        for series in &self.series {
            series.draw(canvas, &x, &y);
        }
        for (i, row) in legend.iter().enumerate() {
            let y = bottom + 33.0 + LEGEND_LINE * i as f64;
            draw_legend_row(canvas, row, middle, y);
        }
        Ok(())
    }

    /// Legend entries broken into rows of at most `width` points.
    fn legend_rows(&self, width: f64) -> Vec<Vec<&Series>> {
        let mut rows: Vec<Vec<&Series>> = Vec::new();
        let mut used = 0.0;
        for series in self.series.iter().filter(|s| !s.label.is_empty()) {
            let needed = entry_width(series);
            match rows.last_mut() {
                Some(row) if used + needed <= width => {
                    row.push(series);
                    used += needed;
                }
                _ => {
                    rows.push(vec![series]);
                    used = needed;
                }
            }
        }
        rows
    }
}

fn draw_axes(canvas: &mut Canvas, (x, y): (&Placed, &Placed), ends: [f64; 4]) {
    let [left, right, top, bottom] = ends;
    let hairline = |colour| Style { colour, dashes: &[], marker: None, width: 0.5 };
    let across = ((right - left) / 32.0) as usize;
    for tick in x.ticks(across.clamp(2, 8)) {
        canvas.line(&[[tick.at, top], [tick.at, bottom]], hairline(GRID));
        canvas.text(&tick.label, [tick.at, bottom + 8.0], TEXT, INK, Anchor::Middle);
    }
    for tick in y.ticks(5) {
        canvas.line(&[[left, tick.at], [right, tick.at]], hairline(GRID));
        canvas.text(&tick.label, [left - 4.0, tick.at], TEXT, INK, Anchor::End);
    }
    canvas.line(&[[left, top], [left, bottom], [right, bottom]], hairline(INK));
}

fn entry_width(series: &Series) -> f64 {
    text_width(&series.label, TEXT) + 30.0
}

fn draw_legend_row(canvas: &mut Canvas, row: &[&Series], middle: f64, y: f64) {
    let mut x = middle - row.iter().map(|s| entry_width(s)).sum::<f64>() / 2.0;
    for series in row {
        let style = series.style;
        if series.connected {
            canvas.line(&[[x, y], [x + 18.0, y]], style);
        }
        if let Some(marker) = style.marker {
            canvas.marker([x + 9.0, y], 1.8, marker, style.colour);
        }
        canvas.text(&series.label, [x + 21.0, y], TEXT, INK, Anchor::Start);
        x += entry_width(series);
    }
}

impl Series {
    fn draw(&self, canvas: &mut Canvas, x: &Placed, y: &Placed) {
        let at = |xs: &f64, ys: &f64| [x.at(*xs), y.at(*ys)];
        if let Some((low, high)) = &self.band {
            let upper = self.x.iter().zip(high).map(|(a, b)| at(a, b));
            let lower = self.x.iter().zip(low).rev().map(|(a, b)| at(a, b));
            let outline: Vec<[f64; 2]> = upper.chain(lower).collect();
            canvas.area(&outline, self.style.colour, 0.18);
        }
        let points: Vec<[f64; 2]> = self.x.iter().zip(&self.y).map(|(a, b)| at(a, b)).collect();
        if self.connected {
            canvas.line(&points, self.style);
        }
        if let Some(marker) = self.style.marker {
            let stride = if self.connected { points.len().div_ceil(16) } else { 1 };
            for point in points.into_iter().step_by(stride) {
                canvas.marker(point, 1.8, marker, self.style.colour);
            }
        }
    }
}
