//! Figures in one style, as SVG, PNG and PDF, drawn from exported tables only.
//!
//! Lengths are points (1/72 inch); a figure is seven inches wide, the width of a printed page. Colours
//! are told apart by the colour-blind, and every series also has its own dashes and marker, so that
//! greyscale suffices. Legends and captions stand outside the data.

mod axis;
mod canvas;
mod formats;
mod heat;
mod lines;
mod scheme;
mod style;

pub use axis::{Axis, Scale};
pub use formats::{to_pdf, to_png};
pub use heat::{HeatPanel, WordPanel};
pub use lines::{LinePanel, Series};
pub use scheme::{Mark, SchemePanel};
pub use style::Style;

use crate::ArtifactError;
use canvas::{Anchor, Canvas};

/// Width of a figure in points.
pub const WIDTH: f64 = 504.0;
const CAPTION_SIZE: f64 = 7.5;
const CAPTION_LINE: f64 = 10.0;
const MARGIN: f64 = 8.0;

/// A panel.
#[derive(Debug, Clone)]
pub enum Panel {
    /// Lines with bands.
    Lines(LinePanel),
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
    /// Height of a panel in points.
    pub panel_height: f64,
    /// Panels, row by row.
    pub panels: Vec<Panel>,
    /// Caption: what is shown, number of seeds, meaning of the band.
    pub caption: String,
}

impl Figure {
    /// The figure as SVG text.
    ///
    /// # Errors
    /// [`ArtifactError::Figure`] if a panel has nothing to show or plotters refuses to draw.
    pub fn to_svg(&self) -> Result<String, ArtifactError> {
        let fault = |what: &str, found: String, expected: &str| ArtifactError::Figure {
            figure: self.id.clone(),
            what: what.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        if self.panels.is_empty() || self.columns == 0 {
            return Err(fault("panels", "none".into(), "at least one"));
        }
        let caption = canvas::wrap(&self.caption, CAPTION_SIZE, WIDTH - 2.0 * MARGIN);
        let rows = self.panels.len().div_ceil(self.columns);
        let panels_end = MARGIN + rows as f64 * self.panel_height;
        let height = panels_end + CAPTION_LINE * caption.len() as f64 + MARGIN;
        let mut canvas = Canvas::new(WIDTH, height);
        let width = (WIDTH - 2.0 * MARGIN) / self.columns as f64;
        for (i, panel) in self.panels.iter().enumerate() {
            let (row, column) = (i / self.columns, i % self.columns);
            let left = MARGIN + column as f64 * width;
            let top = MARGIN + row as f64 * self.panel_height;
            let area = Area { left, top, width, height: self.panel_height };
            match panel {
                Panel::Lines(panel) => panel.draw(&mut canvas, area),
                Panel::Heat(panel) => panel.draw(&mut canvas, area),
                Panel::Words(panel) => panel.draw(&mut canvas, area),
                Panel::Scheme(panel) => panel.draw(&mut canvas, area),
            }
            .map_err(|(what, found, expected)| fault(&what, found, expected))?;
        }
        for (i, line) in caption.iter().enumerate() {
            let y = panels_end + CAPTION_LINE * (i as f64 + 0.5);
            canvas.text(line, [MARGIN, y], CAPTION_SIZE, style::INK, Anchor::Start);
        }
        canvas.finish().map_err(|error| fault("drawing", error, "an accepted drawing"))
    }
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
        let series = Series::line("dual", Style::series(0), x, y).with_band(band.0, band.1);
        let panel = LinePanel {
            title: "curve".into(),
            x: Axis::linear("step"),
            y: Axis::linear("distance"),
            series: vec![series],
        };
        Figure {
            id: "test".into(),
            columns: 1,
            panel_height: 200.0,
            panels: vec![Panel::Lines(panel)],
            caption: "A line that falls from one to zero.".into(),
        }
    }

    #[test]
    fn svg_is_the_same_twice_and_becomes_a_png_and_a_pdf() {
        let svg = figure().to_svg().unwrap();
        assert_eq!(svg, figure().to_svg().unwrap());
        assert!(svg.starts_with("<svg width=\"504pt\""), "{}", &svg[..80]);
        let png = to_png(&svg, 72.0).unwrap();
        assert_eq!(&png[1..4], b"PNG");
        let pdf = to_pdf(&svg).unwrap();
        assert_eq!(&pdf[..5], b"%PDF-");
        assert_eq!(pdf, to_pdf(&svg).unwrap());
    }

    #[test]
    fn an_empty_series_is_refused_by_name() {
        let mut figure = figure();
        let Panel::Lines(panel) = &mut figure.panels[0] else { panic!("lines") };
        panel.series[0] = Series::line("dual", Style::series(0), vec![], vec![]);
        let message = figure.to_svg().unwrap_err().to_string();
        assert!(message.contains("test") && message.contains("dual"), "{message}");
    }
}
