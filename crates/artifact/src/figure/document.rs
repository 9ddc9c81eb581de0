//! The SVG document: what it is about, its font and its groups.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::OnceLock;

/// Fonts of a page that lacks the first one.
const FAMILIES: &str = "'DejaVu Sans', Verdana, sans-serif";
/// The glyphs in use, as WOFF2; `glyphs.txt` lists them.
const SUBSET: &[u8] = include_bytes!("../../assets/DejaVuSans.subset.woff2");
const GLYPHS: &str = include_str!("../../assets/glyphs.txt");

/// What a figure is about.
pub(super) struct About<'a> {
    /// Name, also of the document's ids.
    pub(super) id: &'a str,
    /// One line.
    pub(super) title: &'a str,
    /// The caption.
    pub(super) description: &'a str,
}

/// A group of the document: a panel, a series, a matrix.
pub(super) struct Group {
    class: &'static str,
    name: String,
    points: String,
}

/// Points that a group names at most, the first and the last among them.
const POINTS: usize = 48;

impl Group {
    /// A group of the class `class` whose `name` is shown where a pointer rests on it.
    pub(super) fn new(class: &'static str, name: &str) -> Self {
        Self { class, name: name.to_owned(), points: String::new() }
    }

    /// A series of the figure with the values that it shows, to four digits.
    pub(super) fn series(name: &str, x: &[f64], y: &[f64]) -> Self {
        let n = x.len().min(y.len());
        let shown = n.min(POINTS);
        let place = |i: usize| if shown < 2 { 0 } else { i * (n - 1) / (shown - 1) };
        let point = |i: usize| format!("{},{}", digits(x[place(i)]), digits(y[place(i)]));
        let points: Vec<String> = (0..shown).map(point).collect();
        Self { points: points.join(" "), ..Self::new(SERIES, name) }
    }

    pub(super) fn open(&self) -> String {
        // cells of a matrix meet without a seam
        let crisp = if self.class == MATRIX { " shape-rendering=\"crispEdges\"" } else { "" };
        let points = match self.points.as_str() {
            "" => String::new(),
            points => format!(" data-points=\"{points}\""),
        };
        if self.name.is_empty() {
            return format!("<g class=\"{}\"{points}{crisp}>\n", self.class);
        }
        let name = escaped(&self.name);
        let class = self.class;
        format!(
            "<g class=\"{class}\" data-name=\"{name}\"{points}{crisp}>\n<title>{name}</title>\n"
        )
    }
}

/// Classes of groups.
pub(super) const PANEL: &str = "panel";
pub(super) const SERIES: &str = "series";
pub(super) const LEGEND: &str = "legend";
pub(super) const MATRIX: &str = "matrix";
pub(super) const AXES: &str = "axes";

/// A number to four digits, as short as they are.
fn digits(x: f64) -> String {
    let rounded: f64 = format!("{x:.3e}").parse().unwrap_or(x);
    let text = format!("{rounded:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A character that the embedded font lacks.
pub(super) fn foreign(text: &str) -> Option<char> {
    text.chars().find(|c| !GLYPHS.contains(*c))
}

/// What stands between the first and the last tag of a backend's document.
pub(super) fn inner(svg: &str) -> Result<String, String> {
    let body = svg.split_once(">\n").map(|(_, body)| body);
    let body = body.and_then(|body| body.strip_suffix("</svg>\n"));
    let body = body.ok_or_else(|| "an unknown SVG document".to_owned())?;
    Ok(body.replace("font-family=\"DejaVu Sans\"", &format!("font-family=\"{FAMILIES}\"")))
}

/// The rule that embeds the font.
fn font_face() -> &'static str {
    static FACE: OnceLock<String> = OnceLock::new();
    FACE.get_or_init(|| {
        format!(
            "@font-face{{font-family:'DejaVu Sans';src:url(data:font/woff2;base64,{}) format('woff2')}}",
            STANDARD.encode(SUBSET)
        )
    })
}

/// The whole document of `size` points, drawn on `grid` units.
pub(super) fn document(
    about: &About<'_>,
    [width, height]: [f64; 2],
    grid: (u32, u32),
    body: &str,
) -> String {
    let About { id, title, description } = about;
    let (title, description) = (escaped(title), escaped(description));
    format!(
        "<svg width=\"{width}pt\" height=\"{height}pt\" viewBox=\"0 0 {} {}\" \
         xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" lang=\"en\" \
         aria-labelledby=\"{id}-title {id}-desc\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n\
         <style>{}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>\n{body}</svg>\n",
        grid.0,
        grid.1,
        font_face()
    )
}
