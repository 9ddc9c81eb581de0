//! From SVG to PNG and PDF, with the bundled font and nothing from the system.

use super::canvas::{FAMILY, FONT};
use crate::ArtifactError;
use krilla::geom::Size;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

fn fault(what: &'static str) -> impl Fn(String) -> ArtifactError {
    move |found| ArtifactError::Figure {
        figure: "conversion".into(),
        what: what.to_owned(),
        found,
        expected: "a drawable SVG".into(),
    }
}

fn parse(svg: &str) -> Result<usvg::Tree, ArtifactError> {
    let mut fonts = usvg::fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let options = usvg::Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    usvg::Tree::from_str(svg, &options).map_err(|e| fault("svg")(e.to_string()))
}

/// Rasterises an SVG at `dpi` dots per inch.
///
/// # Errors
/// [`ArtifactError::Figure`] if the SVG cannot be read or is too large.
pub fn to_png(svg: &str, dpi: f32) -> Result<Vec<u8>, ArtifactError> {
    let tree = parse(svg)?;
    // usvg counts 96 pixels per inch
    let zoom = dpi / 96.0;
    let size = tree.size();
    let (width, height) =
        ((size.width() * zoom).ceil() as u32, (size.height() * zoom).ceil() as u32);
    let mut pixmap = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| fault("size")(format!("{width} x {height} pixels")))?;
    let transform = tiny_skia::Transform::from_scale(zoom, zoom);
    resvg::render(&tree, transform, &mut pixmap.as_mut());
    encode(&pixmap, dpi).map_err(|e| fault("png")(e.to_string()))
}

/// An opaque picture as a PNG that knows its resolution.
fn encode(pixmap: &tiny_skia::Pixmap, dpi: f32) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    // a metre is 39.37 inches
    let per_metre = (dpi * 39.370_08).round() as u32;
    let (xppu, yppu, unit) = (per_metre, per_metre, png::Unit::Meter);
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu, yppu, unit }));
    // paper below everything: the last row of pixels may be covered in part
    let on_paper = |p: &tiny_skia::PremultipliedColorU8| {
        [p.red(), p.green(), p.blue()].map(|colour| colour.saturating_add(255 - p.alpha()))
    };
    let colours: Vec<u8> = pixmap.pixels().iter().flat_map(on_paper).collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&colours)?;
    writer.finish()?;
    Ok(bytes)
}

/// An SVG as a one-page PDF of the same size with its title and language, its text embedded and selectable, without
/// a date.
///
/// # Errors
/// [`ArtifactError::Figure`] if the SVG cannot be read or krilla refuses it.
pub fn to_pdf(svg: &str, title: &str) -> Result<Vec<u8>, ArtifactError> {
    let tree = parse(svg)?;
    // 96 pixels and 72 points per inch
    let (width, height) = (tree.size().width() * 0.75, tree.size().height() * 0.75);
    let bad_size = || fault("size")(format!("{width} x {height} points"));
    let size = Size::from_wh(width, height).ok_or_else(bad_size)?;
    let mut document = krilla::Document::new();
    document.set_metadata(Metadata::new().title(title.to_owned()).language("en".to_owned()));
    let mut page =
        document.start_page_with(PageSettings::from_wh(width, height).ok_or_else(bad_size)?);
    let mut surface = page.surface();
    let drawn = surface.draw_svg(&tree, size, SvgSettings::default());
    surface.finish();
    page.finish();
    drawn.ok_or_else(|| fault("pdf")("a tree that krilla cannot draw".into()))?;
    document.finish().map_err(|e| fault("pdf")(format!("{e:?}")))
}
