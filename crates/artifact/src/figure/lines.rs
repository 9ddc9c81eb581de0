//! Panels of lines and points over two axes.

use super::axis::{Axis, Beyond, Placed};
use super::canvas::{Anchor, Canvas, text_width};
use super::document::{self, Group};
use super::strokes::{Marker, Rgb};
use super::style::{GRID, INK, LABEL, SMALL, Style, TITLE};
use super::{Area, PanelFault};

/// Radius of a marker.
pub(super) const MARKER: f64 = 1.5;
/// Markers on a line, beside its ends.
const MARKERS: usize = 12;
pub(super) const LEGEND_LINE: f64 = 9.5;
/// Room at the left for ticks and label, and above for the title.
pub(super) const LEFT: f64 = 38.0;
pub(super) const ABOVE: f64 = 15.0;
/// Room below for ticks and label.
pub(super) const BELOW: f64 = 25.0;

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

    /// Adds an interval at every point: a band of a line, a bar of a single point.
    #[must_use]
    pub fn with_band(mut self, lower: Vec<f64>, upper: Vec<f64>) -> Self {
        self.band = Some((lower, upper));
        self
    }

    pub(super) fn check(&self) -> Result<(), PanelFault> {
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

/// Lines over two axes; names stand in the figure's legend.
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

/// An entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    label: String,
    style: Style,
    connected: bool,
}

impl LinePanel {
    /// The range of the vertical axis that shows all series.
    pub(super) fn y_range(&self) -> Result<[f64; 2], PanelFault> {
        self.series.iter().try_for_each(Series::check)?;
        match self.y.range {
            Some(range) => Ok(range),
            None => self.y.data_range(self.series.iter().flat_map(Series::ys)),
        }
    }

    /// What a legend says of this panel.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.series.iter().filter(|series| !series.label.is_empty()).map(|series| Entry {
            label: series.label.clone(),
            style: series.style,
            connected: series.connected,
        })
    }

    /// Draws the panel with its vertical axis over `range`.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        area: Area,
        range: [f64; 2],
        letter: &str,
    ) -> Result<(), PanelFault> {
        let (left, right) = (area.left + LEFT, area.left + area.width - 6.0);
        let (top, bottom) = (area.top + ABOVE, area.top + area.height - BELOW);
        let x = self.x.place(self.series.iter().flat_map(|s| s.x.iter().copied()), left, right)?;
        let y = self.y.clone().from_to(range[0], range[1]);
        let y = y.place(std::iter::empty(), bottom, top)?;
        draw_title(canvas, letter, &self.title, area);
        let axes = format!("{}; {}", self.x.label, self.y.label);
        canvas.group(Group::new(document::AXES, &axes), |canvas| {
            draw_axes(canvas, (&x, &y), [left, right, top, bottom]);
            canvas.upright(
                &self.y.label,
                [area.left + 5.0, f64::midpoint(top, bottom)],
                LABEL,
                INK,
            );
            let middle = f64::midpoint(left, right);
            canvas.text(&self.x.label, [middle, bottom + 18.0], LABEL, INK, Anchor::Middle);
        });
        for series in &self.series {
            canvas.group(Group::series(&series.label, &series.x, &series.y), |canvas| {
                series.draw(canvas, &x, &y);
            });
        }
        Ok(())
    }
}

/// A panel's letter and title, at the left.
pub(super) fn draw_title(canvas: &mut Canvas, letter: &str, title: &str, area: Area) {
    let text = if letter.is_empty() { title.to_owned() } else { format!("({letter}) {title}") };
    canvas.text(&text, [area.left + 2.0, area.top + 5.0], TITLE, INK, Anchor::Start);
}

const HAIRLINE: f64 = 0.5;

pub(super) fn hairline(colour: Rgb) -> Style {
    Style { colour, dashes: &[], marker: None, width: HAIRLINE }
}

fn draw_axes(canvas: &mut Canvas, (x, y): (&Placed, &Placed), ends: [f64; 4]) {
    let [left, right, top, bottom] = ends;
    for tick in y.ticks(5) {
        canvas.line(&[[left, tick.at], [right, tick.at]], hairline(GRID));
        canvas.line(&[[left - 2.5, tick.at], [left, tick.at]], hairline(INK));
        canvas.text(&tick.label, [left - 4.0, tick.at], SMALL, INK, Anchor::End);
    }
    for at in y.minor() {
        canvas.line(&[[left - 1.5, at], [left, at]], hairline(INK));
    }
    draw_x_axis(canvas, x, [left, right, bottom]);
    canvas.line(&[[left, top], [left, bottom]], hairline(INK));
}

/// The line, ticks and labels of a horizontal axis; labels that would meet the one before are left out.
pub(super) fn draw_x_axis(canvas: &mut Canvas, x: &Placed, [left, right, bottom]: [f64; 3]) {
    let across = ((right - left) / 28.0) as usize;
    let mut end = f64::NEG_INFINITY;
    for tick in x.ticks(across.clamp(3, 6)) {
        canvas.line(&[[tick.at, bottom], [tick.at, bottom + 2.5]], hairline(INK));
        let half = text_width(&tick.label, SMALL) / 2.0;
        if tick.at - half > end {
            canvas.text(&tick.label, [tick.at, bottom + 8.0], SMALL, INK, Anchor::Middle);
            end = tick.at + half + 2.0;
        }
    }
    for at in x.minor() {
        canvas.line(&[[at, bottom], [at, bottom + 1.5]], hairline(INK));
    }
    canvas.line(&[[left, bottom], [right, bottom]], hairline(INK));
}

/// Entries broken into rows of at most `width` points.
pub(super) fn legend_rows(entries: &[Entry], width: f64) -> Vec<Vec<&Entry>> {
    let mut rows: Vec<Vec<&Entry>> = Vec::new();
    let mut used = 0.0;
    for entry in entries {
        let needed = entry.width();
        match rows.last_mut() {
            Some(row) if used + needed <= width => {
                row.push(entry);
                used += needed;
            }
            _ => {
                rows.push(vec![entry]);
                used = needed;
            }
        }
    }
    rows
}

impl Entry {
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    fn width(&self) -> f64 {
        text_width(&self.label, SMALL) + 27.0
    }
}

/// Draws a legend, its rows centred on `middle`.
pub(super) fn draw_legend(canvas: &mut Canvas, rows: &[Vec<&Entry>], middle: f64, top: f64) {
    for (i, row) in rows.iter().enumerate() {
        let y = top + LEGEND_LINE * (i as f64 + 0.5);
        let mut x = middle - row.iter().map(|entry| entry.width()).sum::<f64>() / 2.0;
        for entry in row {
            let style = entry.style;
            if entry.connected {
                canvas.line(&[[x, y], [x + 18.0, y]], style);
            }
            if let Some(marker) = style.marker {
                canvas.marker([x + 9.0, y], MARKER, marker, style.colour);
            }
            canvas.text(&entry.label, [x + 21.0, y], SMALL, INK, Anchor::Start);
            x += entry.width();
        }
    }
}

impl Series {
    fn draw(&self, canvas: &mut Canvas, x: &Placed, y: &Placed) {
        let at = |xs: &f64, ys: &f64| [x.at(*xs), y.at(*ys)];
        if let Some((low, high)) = &self.band {
            self.draw_band(canvas, low, high, at);
        }
        // a gap in a curve is not a number
        let whole: Vec<usize> = (0..self.x.len()).filter(|i| !self.y[*i].is_nan()).collect();
        let points: Vec<[f64; 2]> = whole.iter().map(|i| at(&self.x[*i], &self.y[*i])).collect();
        if self.connected && points.len() > 1 {
            canvas.line(&points, self.style);
        }
        let Some(marker) = self.style.marker else { return };
        let stride = if self.connected { points.len().div_ceil(MARKERS).max(1) } else { 1 };
        for (place, (i, point)) in whole.iter().zip(&points).enumerate() {
            let shown = place % stride == 0 || place + 1 == points.len();
            match y.beyond(self.y[*i]) {
                // what is left out is said to be
                Some(Beyond::Below) => {
                    canvas.marker(*point, 2.0, Marker::OpenInvertedTriangle, self.style.colour);
                }
                Some(Beyond::Above) => {
                    canvas.marker(*point, 2.0, Marker::OpenTriangle, self.style.colour);
                }
                None if shown => canvas.marker(*point, MARKER, marker, self.style.colour),
                None => {}
            }
        }
    }

    fn draw_band(
        &self,
        canvas: &mut Canvas,
        low: &[f64],
        high: &[f64],
        at: impl Fn(&f64, &f64) -> [f64; 2],
    ) {
        if self.connected && self.x.len() > 1 {
            let upper = self.x.iter().zip(high).map(|(a, b)| at(a, b));
            let lower = self.x.iter().zip(low).rev().map(|(a, b)| at(a, b));
            let outline: Vec<[f64; 2]> = upper.chain(lower).collect();
            canvas.area(&outline, self.style.colour, 0.18);
        } else {
            for ((x, low), high) in self.x.iter().zip(low).zip(high) {
                let bar = Style { width: 0.8, ..self.style.solid() };
                canvas.line(&[at(x, low), at(x, high)], bar);
            }
        }
    }
}
