//! Colours, dashes and markers.

/// A colour, red, green, blue.
pub(super) type Rgb = [u8; 3];

/// Text and axes.
pub(super) const INK: Rgb = [34, 34, 34];
/// Grid lines.
pub(super) const GRID: Rgb = [226, 226, 226];

/// Okabe and Ito's palette without yellow (too light on white), ordered by luminance contrast.
const PALETTE: [Rgb; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
    [230, 159, 0],
    [0, 0, 0],
];
/// Lengths of dash and gap in points; empty for a solid line.
const DASHES: [&[f64]; 5] = [&[], &[5.0, 2.0], &[1.5, 1.5], &[7.0, 2.0, 1.5, 2.0], &[3.0, 3.0]];

/// Shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    InvertedTriangle,
    Hourglass,
}

const MARKERS: [Marker; 6] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::InvertedTriangle,
    Marker::Hourglass,
];

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub(super) colour: Rgb,
    pub(super) dashes: &'static [f64],
    pub(super) marker: Option<Marker>,
    pub(super) width: f64,
}

impl Style {
    /// The `i`-th series of a panel.
    pub fn series(i: usize) -> Self {
        Self {
            colour: PALETTE[i % PALETTE.len()],
            dashes: DASHES[i % DASHES.len()],
            marker: Some(MARKERS[i % MARKERS.len()]),
            width: 1.1,
        }
    }

    /// What the others are compared with: grey, solid.
    pub const REFERENCE: Self =
        Self { colour: [120, 120, 120], dashes: &[], marker: None, width: 1.6 };

    /// A theoretical value: black, dashed, without marker.
    pub const THEORY: Self =
        Self { colour: [0, 0, 0], dashes: &[4.0, 2.0], marker: None, width: 0.9 };

    /// What is reached without learning: grey, dotted, without marker.
    pub const LIMIT: Self =
        Self { colour: [120, 120, 120], dashes: &[1.0, 2.0], marker: None, width: 0.9 };

    /// The same without a marker.
    #[must_use]
    pub fn unmarked(mut self) -> Self {
        self.marker = None;
        self
    }

    /// The same with a solid line.
    #[must_use]
    pub fn solid(mut self) -> Self {
        self.dashes = &[];
        self
    }
}

/// Diverging colour of `t` in `[-1, 1]`: blue, white, orange; equal steps of lightness on both sides.
pub(super) fn diverging(t: f64) -> Rgb {
    let t = t.clamp(-1.0, 1.0);
    let end: [f64; 3] = if t < 0.0 { [20.0, 90.0, 160.0] } else { [190.0, 75.0, 0.0] };
    end.map(|end| (255.0 + (end - 255.0) * t.abs()).round() as u8)
}

/// Sequential colour of `t` in `[0, 1]`: white to dark blue.
pub(super) fn sequential(t: f64) -> Rgb {
    let t = t.clamp(0.0, 1.0);
    let end: [f64; 3] = [8.0, 48.0, 107.0];
    end.map(|end| (255.0 + (end - 255.0) * t).round() as u8)
}
