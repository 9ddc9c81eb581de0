//! SVG to PNG with the bundled font and nothing from the system.

use super::canvas::{FAMILY, FONT};
use crate::ArtifactError;
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Rasterises an SVG at `dpi` dots per inch.
///
/// # Errors
/// [`ArtifactError::Figure`] if the SVG cannot be read or is too large.
pub fn to_png(svg: &str, dpi: f32) -> Result<Vec<u8>, ArtifactError> {
    let fault = |what: &str, found: String| ArtifactError::Figure {
        figure: "png".into(),
        what: what.to_owned(),
        found,
        expected: "a drawable SVG".into(),
    };
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let options = usvg::Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| fault("svg", e.to_string()))?;
    // usvg counts 96 pixels per inch
    let zoom = dpi / 96.0;
    let size = tree.size();
    let (width, height) =
        ((size.width() * zoom).ceil() as u32, (size.height() * zoom).ceil() as u32);
    let mut pixmap = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| fault("size", format!("{width} x {height} pixels")))?;
    let transform = tiny_skia::Transform::from_scale(zoom, zoom);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    pixmap.encode_png().map_err(|e| fault("png", e.to_string()))
}
