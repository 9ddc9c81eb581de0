//! Figures in one style, as SVG, PNG and PDF, drawn from exported tables only.
//!
//! Lengths are points (1/72 inch); a figure is 5.5 inches wide, the width of a page's text, and no text is smaller than
//! 6.5 points. Names own their look ([`Style::of`]) in all figures. There is one legend for a figure, below its panels;
//! panels of a row whose vertical axes say the same share their range. The caption is data: it stands in the document's
//! description and in the manifest, not in the picture.

mod axis;
mod canvas;
mod document;
mod dots;
mod formats;
mod heat;
mod lines;
mod names;
mod scheme;
mod strokes;
mod style;
mod ticks;

pub use axis::{Axis, Scale};
pub use dots::{DotPanel, DotRow};
pub use formats::{to_pdf, to_png};
pub use heat::{HeatPanel, WordPanel};
pub use lines::{LinePanel, Series};
pub use scheme::{Mark, SchemePanel, UNITS};
pub use style::Style;
pub use ticks::plain_number;

use crate::ArtifactError;
use canvas::Canvas;
use document::{About, Group};
use icl_numerics::largest;
use lines::{Entry, LEGEND_LINE};

/// Width of a figure in points.
pub const WIDTH: f64 = 396.0;
const MARGIN: f64 = 2.0;
/// Between panels beside each other, and below each other.
const GAPS: [f64; 2] = [10.0, 8.0];

/// A panel.
#[derive(Debug, Clone)]
pub enum Panel {
    /// Lines and points.
    Lines(LinePanel),
    /// Rows of values.
    Dots(DotPanel),
    /// A matrix as colours.
    Heat(HeatPanel),
    /// A matrix as colours with a word in each entry.
    Words(WordPanel),
    /// Free arrangement of matrices, arrows and text.
    Scheme(SchemePanel),
}

/// A figure: panels row by row, and a caption.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without extension.
    pub id: String,
    /// Panels in a row.
    pub columns: usize,
    /// Widths of the columns relative to each other; empty for equal ones.
    pub shares: Vec<f64>,
    /// Height of a panel in points, of a scheme in its units.
    pub panel_height: f64,
    /// Panels, row by row.
    pub panels: Vec<Panel>,
    /// Caption: what is shown, and the number of seeds.
    pub caption: String,
}

impl Figure {
    fn fault(&self, what: &str, found: String, expected: &str) -> ArtifactError {
        ArtifactError::Figure {
            figure: self.id.clone(),
            what: what.to_owned(),
            found,
            expected: expected.to_owned(),
        }
    }

    /// The figure as SVG text.
    ///
    /// # Errors
    /// [`ArtifactError::Figure`] if a panel has nothing to show, a character is not in the embedded font, or plotters
    /// refuses to draw.
    pub fn to_svg(&self) -> Result<String, ArtifactError> {
        if self.panels.is_empty() || self.columns == 0 {
            return Err(self.fault("panels", "none".into(), "at least one"));
        }
        if !self.shares.is_empty() && self.shares.len() != self.columns {
            let found = format!("{} for {} columns", self.shares.len(), self.columns);
            return Err(self.fault("shares", found, "one for each column"));
        }
        let fault = |(what, found, expected): PanelFault| self.fault(&what, found, expected);
        let entries = self.legend();
        let legend = lines::legend_rows(&entries, WIDTH - 2.0 * MARGIN);
        let bar = self.common_scale();
        let rows = self.panels.len().div_ceil(self.columns) as f64;
        let height = self.height();
        let panels_end = MARGIN + rows * height + (rows - 1.0) * GAPS[1];
        let bar_height = if bar.is_some() { heat::BAR } else { 0.0 };
        let page = panels_end + bar_height + LEGEND_LINE * legend.len() as f64 + MARGIN;
        let mut canvas = Canvas::new(WIDTH, page.ceil());
        let ranges = self.ranges().map_err(fault)?;
        for (i, panel) in self.panels.iter().enumerate() {
            let letter = self.letter(i);
            let area = self.area(i, height);
            let group = Group::new(document::PANEL, &letter);
            canvas
                .group(group, |canvas| match panel {
                    Panel::Lines(panel) => panel.draw(canvas, area, ranges[i], &letter),
                    Panel::Dots(panel) => panel.draw(canvas, area, &letter),
                    Panel::Heat(panel) => panel.draw(canvas, area, &letter, bar.is_none()),
                    Panel::Words(panel) => panel.draw(canvas, area, &letter, bar.is_none()),
                    Panel::Scheme(panel) => panel.draw(canvas, area),
                })
                .map_err(fault)?;
        }
        if let Some(range) = bar {
            let (left, top) = (WIDTH / 2.0 - 40.0, panels_end + 4.0);
            let area = Area { left, top, width: 80.0, height: 5.0 };
            heat::draw_colour_bar(&mut canvas, area, (heat::colour, range));
        }
        canvas.group(Group::new(document::LEGEND, ""), |canvas| {
            lines::draw_legend(canvas, &legend, WIDTH / 2.0, panels_end + bar_height);
        });
        let about = About {
            id: &self.id,
            title: first_sentence(&self.caption),
            description: &self.caption,
        };
        let svg = canvas
            .finish(&about)
            .map_err(|error| self.fault("drawing", error, "an accepted drawing"))?;
        Ok(svg)
    }

    /// Height of a panel in points.
    fn height(&self) -> f64 {
        let scheme = matches!(self.panels[0], Panel::Scheme(_));
        let unit = if scheme { (WIDTH - 2.0 * MARGIN) / UNITS } else { 1.0 };
        unit * self.panel_height
    }

    fn letter(&self, i: usize) -> String {
        let alone = self.panels.len() == 1 || matches!(self.panels[i], Panel::Scheme(_));
        let letter = char::from_u32('a' as u32 + i as u32).filter(char::is_ascii_lowercase);
        if alone { String::new() } else { letter.map(String::from).unwrap_or_default() }
    }

    /// Where panel `i` lies.
    fn area(&self, i: usize, height: f64) -> Area {
        let (row, column) = (i / self.columns, i % self.columns);
        let width = WIDTH - 2.0 * MARGIN - GAPS[0] * (self.columns - 1) as f64;
        let share = |c: usize| self.shares.get(c).copied().unwrap_or(1.0);
        let sum =
            |columns: std::ops::Range<usize>| -> f64 { columns.map(share).fold(0.0, |a, b| a + b) };
        let all = sum(0..self.columns);
        let left = MARGIN + width * sum(0..column) / all + GAPS[0] * column as f64;
        let top = MARGIN + row as f64 * (height + GAPS[1]);
        Area { left, top, width: width * share(column) / all, height }
    }

    /// The entries of all panels, each once.
    fn legend(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for panel in &self.panels {
            let Panel::Lines(panel) = panel else { continue };
            for entry in panel.entries() {
                if !entries.iter().any(|known| known.label() == entry.label()) {
                    entries.push(entry);
                }
            }
        }
        entries
    }

    /// Ranges of the vertical axes of line panels: one for those of a row that have the same label and scale, unless
    /// that would leave one of them less than a quarter of its height.
    fn ranges(&self) -> Result<Vec<[f64; 2]>, PanelFault> {
        let own = |panel: &Panel| match panel {
            Panel::Lines(panel) => panel.y_range(),
            _ => Ok([0.0, 1.0]),
        };
        let own: Vec<[f64; 2]> = self.panels.iter().map(own).collect::<Result<_, _>>()?;
        let shared = |i: usize| {
            let Panel::Lines(panel) = &self.panels[i] else { return own[i] };
            let row = i / self.columns * self.columns;
            let mates: Vec<usize> = (row..self.panels.len().min(row + self.columns))
                .filter(|j| {
                    let Panel::Lines(other) = &self.panels[*j] else { return false };
                    other.y.label == panel.y.label && other.y.scale == panel.y.scale
                })
                .collect();
            let all = [
                largest::least(mates.iter().map(|j| own[*j][0])),
                largest::value(mates.iter().map(|j| own[*j][1])),
            ];
            let share = |j: &usize| panel.y.scale.length(own[*j]) / panel.y.scale.length(all);
            if mates.iter().all(|j| share(j) >= 0.25) { all } else { own[i] }
        };
        Ok((0..self.panels.len()).map(shared).collect())
    }

    /// The scale of all matrices, if it is one.
    fn common_scale(&self) -> Option<[f64; 2]> {
        let range = |panel: &Panel| match panel {
            Panel::Heat(heat) => Some(heat.range),
            Panel::Words(words) => Some(words.heat.range),
            _ => None,
        };
        let ranges: Vec<Option<[f64; 2]>> = self.panels.iter().map(range).collect();
        let first = ranges.first().copied().flatten()?;
        ranges.iter().all(|range| *range == Some(first)).then_some(first)
    }
}

/// A text up to the end of its first sentence.
fn first_sentence(text: &str) -> &str {
    text.split_inclusive(". ").next().unwrap_or(text).trim_end()
}

/// A rectangle of the page in points, `y` downwards.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// What is wrong with a panel: part, found, expected.
type PanelFault = (String, String, &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let x: Vec<f64> = (0..16).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 1.0 - x / 15.0).collect();
        let band = (y.iter().map(|y| y * 0.9).collect(), y.iter().map(|y| y * 1.1).collect());
        let series =
            Series::line("dual", Style::of("exact dual").unwrap(), x, y).with_band(band.0, band.1);
        let panel = LinePanel {
            title: "curve".into(),
            x: Axis::linear("step"),
            y: Axis::linear("distance"),
            series: vec![series],
        };
        Figure {
            id: "test".into(),
            columns: 1,
            shares: vec![],
            panel_height: 200.0,
            panels: vec![Panel::Lines(panel)],
            caption: "A line that falls from one to zero.".into(),
        }
    }

    #[test]
    fn svg_is_the_same_twice_and_becomes_a_png_and_a_pdf() {
        let svg = figure().to_svg().unwrap();
        assert_eq!(svg, figure().to_svg().unwrap());
        assert!(svg.starts_with("<svg width=\"396pt\""), "{}", &svg[..80]);
        let png = to_png(&svg, 72.0).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let pdf = to_pdf(&svg, "A line.").unwrap();
        assert_eq!(&pdf[..5], b"%PDF-");
        assert_eq!(pdf, to_pdf(&svg, "A line.").unwrap());
    }

    #[test]
    fn an_empty_series_is_refused_by_name() {
        let mut figure = figure();
        let Panel::Lines(panel) = &mut figure.panels[0] else { panic!("lines") };
        panel.series[0] = Series::line("dual", Style::of("exact dual").unwrap(), vec![], vec![]);
        let message = figure.to_svg().unwrap_err().to_string();
        assert!(message.contains("test") && message.contains("dual"), "{message}");
    }
}
