//! Drawing primitives on plotters' SVG backend, in named groups.
//!
//! The backend knows whole numbers only: everything is drawn [`ZOOM`] times too large and the SVG's
//! view box scales it back, which leaves a precision of a twentieth of a point. It knows no groups either: what lies
//! between two of a group's ends is drawn by a backend of its own and put into the document.

use super::document;
use super::strokes::{Marker, Rgb};
use super::style::{PAPER, Style};
use plotters::prelude::{
    Color as _, DrawingArea, FontStyle, FontTransform, IntoDrawingArea as _, IntoFont as _,
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

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Draw = Box<dyn FnOnce(&Area<'_>) -> Result<(), String>>;

/// A step of the drawing.
enum Step {
    Draw(Draw),
    /// The start of a group.
    Open(document::Group),
    /// The end of the group that was opened last.
    Close,
}

/// A page of primitives, drawn when it is finished.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    steps: Vec<Step>,
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
        Self { width, height, steps: Vec::new() }
    }

    fn add<E>(&mut self, element: E)
    where
        E: 'static,
        for<'e> &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
        E: for<'b> plotters::element::Drawable<SVGBackend<'b>>,
    {
        let draw = move |area: &Area<'_>| area.draw(&element).map_err(|e| e.to_string());
        self.steps.push(Step::Draw(Box::new(draw)));
    }

    /// Draws a part of the page as a group of the document.
    pub(super) fn group<T>(
        &mut self,
        group: document::Group,
        draw: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.steps.push(Step::Open(group));
        let drawn = draw(self);
        self.steps.push(Step::Close);
        drawn
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

    /// A marker with a halo of paper, so that it stands out from lines; open ones show what lies below.
    pub(super) fn marker(&mut self, at: [f64; 2], radius: f64, marker: Marker, colour: Rgb) {
        if marker.is_open() {
            let outline = marker.outline(at, radius);
            let edge = Style { colour, dashes: &[], marker: None, width: 0.7 };
            let closed = [outline.as_slice(), &outline[..1]].concat();
            self.line(&closed, edge);
        } else {
            self.area(&marker.outline(at, radius + 0.45), PAPER, 1.0);
            self.area(&marker.outline(at, radius), colour, 1.0);
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
        if text.is_empty() {
            return;
        }
        if let Some(c) = document::foreign(text) {
            let error = format!("`{text}`: the embedded font has no `{c}` (assets/glyphs.txt)");
            self.steps.push(Step::Draw(Box::new(move |_| Err(error))));
        }
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
    pub(super) fn finish(self, about: &document::About<'_>) -> Result<String, String> {
        let size = ((self.width * ZOOM).round() as u32, (self.height * ZOOM).round() as u32);
        let mut body = String::new();
        let mut steps = self.steps.into_iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Open(group) => body.push_str(&group.open()),
                Step::Close => body.push_str("</g>\n"),
                Step::Draw(first) => {
                    let mut draws = vec![first];
                    while let Some(Step::Draw(next)) =
                        steps.next_if(|step| matches!(step, Step::Draw(_)))
                    {
                        draws.push(next);
                    }
                    body.push_str(&document::inner(&drawn(size, draws)?)?);
                }
            }
        }
        Ok(document::document(about, [self.width, self.height], size, &body))
    }
}

/// What a backend of its own draws.
fn drawn(size: (u32, u32), draws: Vec<Draw>) -> Result<String, String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        for draw in draws {
            draw(&area)?;
        }
        area.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
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
