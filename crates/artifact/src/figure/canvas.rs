//! Drawing primitives on plotters' SVG backend.
//!
//! The backend knows whole numbers only: everything is drawn [`ZOOM`] times too large and the SVG's
//! view box scales it back, which leaves a precision of a twentieth of a point.

use super::style::{Marker, Rgb, Style};
use plotters::prelude::{
    Circle, Color as _, DrawingArea, FontStyle, FontTransform, IntoDrawingArea as _, IntoFont as _,
    PathElement, Polygon, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, TextStyle, register_font};
use std::sync::OnceLock;

const ZOOM: f64 = 20.0;
/// Family of all text; the font lies in `assets/`.
pub(super) const FAMILY: &str = "DejaVu Sans";
pub(super) const FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
/// plotters divides a font's size by this before it writes it.
const FONT_FACTOR: f64 = 1.24;
/// plotters measures text with the size as line height; the font's line is this many ems high
/// (ascent 0.928 + descent 0.236, from the font's `hhea` table).
const LINE_HEIGHT: f64 = 1.164;

/// Where a text's reference point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

type Draw =
    Box<dyn FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), String>>;

/// A page of primitives, drawn when it is finished.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    drawing: Vec<Draw>,
}

fn point([x, y]: [f64; 2]) -> (i32, i32) {
    ((x * ZOOM).round() as i32, (y * ZOOM).round() as i32)
}

fn rgb([r, g, b]: Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

fn font(size: f64) -> TextStyle<'static> {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        // the bytes are a compiled-in font: a refusal shows as an error when text is drawn
        let _ = register_font(FAMILY, FontStyle::Normal, FONT);
    });
    (FontFamily::Name(FAMILY), size * ZOOM * FONT_FACTOR).into_font().into()
}

/// Width of a text in points.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let box_size = font(size).font.box_size(text);
    let width = box_size.map_or(0.0, |(width, _)| f64::from(width) / ZOOM / FONT_FACTOR);
    width * LINE_HEIGHT
}

/// Breaks a text into lines of at most `width` points.
pub(super) fn wrap(text: &str, size: f64, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, drawing: Vec::new() }
    }

    fn add<E>(&mut self, element: E)
    where
        E: 'static,
        for<'e> &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
        E: for<'b> plotters::element::Drawable<SVGBackend<'b>>,
    {
        self.drawing.push(Box::new(move |area| area.draw(&element).map_err(|e| e.to_string())));
    }

    /// A line through `points`, dashed as the style says.
    pub(super) fn line(&mut self, points: &[[f64; 2]], style: Style) {
        let stroke = |width: f64| ShapeStyle {
            color: rgb(style.colour).to_rgba(),
            filled: false,
            stroke_width: (width * ZOOM).round() as u32,
        };
        for part in dashed(points, style.dashes) {
            let part: Vec<(i32, i32)> = part.into_iter().map(point).collect();
            self.add(PathElement::new(part, stroke(style.width)));
        }
    }

    /// A filled polygon.
    pub(super) fn area(&mut self, points: &[[f64; 2]], colour: Rgb, opacity: f64) {
        let points: Vec<(i32, i32)> = points.iter().copied().map(point).collect();
        self.add(Polygon::new(points, rgb(colour).mix(opacity).filled()));
    }

    /// A filled rectangle.
    pub(super) fn rectangle(&mut self, low: [f64; 2], high: [f64; 2], colour: Rgb) {
        self.add(Rectangle::new([point(low), point(high)], rgb(colour).filled()));
    }

    /// A marker.
    pub(super) fn marker(&mut self, [x, y]: [f64; 2], radius: f64, marker: Marker, colour: Rgb) {
        let r = radius;
        match marker {
            Marker::Circle => {
                let radius = (r * ZOOM).round() as i32;
                self.add(Circle::new(point([x, y]), radius, rgb(colour).filled()));
            }
            Marker::Square => self.rectangle([x - r, y - r], [x + r, y + r], colour),
            Marker::Triangle => {
                self.area(&[[x - r, y + r], [x + r, y + r], [x, y - r]], colour, 1.0);
            }
            Marker::InvertedTriangle => {
                self.area(&[[x - r, y - r], [x + r, y - r], [x, y + r]], colour, 1.0);
            }
            Marker::Hourglass => {
                self.area(&[[x - r, y - r], [x + r, y - r], [x, y]], colour, 1.0);
                self.area(&[[x - r, y + r], [x + r, y + r], [x, y]], colour, 1.0);
            }
            Marker::Diamond => {
                self.area(&[[x - r, y], [x, y - r], [x + r, y], [x, y + r]], colour, 1.0);
            }
        }
    }

    /// Text, vertically centred on its point.
    pub(super) fn text(
        &mut self,
        text: &str,
        at: [f64; 2],
        size: f64,
        colour: Rgb,
        anchor: Anchor,
    ) {
        self.styled(text, at, &font(size), colour, anchor);
    }

    /// Text that reads upwards, centred on its point.
    pub(super) fn upright(&mut self, text: &str, at: [f64; 2], size: f64, colour: Rgb) {
        let style = font(size);
        let style = style.transform(FontTransform::Rotate270);
        self.styled(text, at, &style, colour, Anchor::Middle);
    }

    fn styled(
        &mut self,
        text: &str,
        at: [f64; 2],
        style: &TextStyle<'static>,
        colour: Rgb,
        anchor: Anchor,
    ) {
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let mut style = style.pos(Pos::new(horizontal, VPos::Center));
        style.color = rgb(colour).to_backend_color();
        self.add(Text::new(text.to_owned(), point(at), style));
    }

    /// Draws everything; returns SVG text.
    pub(super) fn finish(self) -> Result<String, String> {
        let mut svg = String::new();
        let size = ((self.width * ZOOM).round() as u32, (self.height * ZOOM).round() as u32);
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            area.fill(&RGBColor(255, 255, 255)).map_err(|e| e.to_string())?;
            for draw in self.drawing {
                draw(&area)?;
            }
            area.present().map_err(|e| e.to_string())?;
        }
        let big = format!("<svg width=\"{}\" height=\"{}\"", size.0, size.1);
        let small = format!("<svg width=\"{}pt\" height=\"{}pt\"", self.width, self.height);
        if !svg.starts_with(&big) {
            return Err("an unknown SVG header".into());
        }
        Ok(svg.replacen(&big, &small, 1))
    }
}

/// Splits a line into dashes; the whole line if `pattern` is empty.
fn dashed(points: &[[f64; 2]], pattern: &[f64]) -> Vec<Vec<[f64; 2]>> {
    if pattern.is_empty() || points.len() < 2 {
        return vec![points.to_vec()];
    }
    let mut parts = Vec::new();
    let (mut phase, mut left) = (0, pattern[0]);
    let mut part = vec![points[0]];
    for pair in points.windows(2) {
        let [mut from, to] = [pair[0], pair[1]];
        loop {
            let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
            let length = (dx * dx + dy * dy).sqrt();
            if length <= left {
                left -= length;
                part.push(to);
                break;
            }
            from = [from[0] + dx * left / length, from[1] + dy * left / length];
            part.push(from);
            if phase % 2 == 0 {
                parts.push(std::mem::take(&mut part));
            }
            part = vec![from];
            phase = (phase + 1) % pattern.len();
            left = pattern[phase];
        }
    }
    if phase % 2 == 0 && part.len() > 1 {
        parts.push(part);
    }
    parts
}
