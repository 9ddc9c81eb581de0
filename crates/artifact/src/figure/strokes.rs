//! Colours, dashes and markers, before they have names.

/// A colour, red, green, blue.
pub(super) type Rgb = [u8; 3];

/// Lengths of dash and gap in points.
pub(super) const SOLID: &[f64] = &[];
pub(super) const DASHED: &[f64] = &[4.0, 1.8];
pub(super) const DOTTED: &[f64] = &[1.0, 1.6];
pub(super) const MIXED: &[f64] = &[5.0, 1.6, 1.2, 1.6];

/// Shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    InvertedTriangle,
    Ring,
    OpenSquare,
    OpenTriangle,
    OpenInvertedTriangle,
    OpenDiamond,
}

impl Marker {
    /// Whether it is drawn as an outline.
    pub(super) fn is_open(self) -> bool {
        matches!(
            self,
            Self::Ring
                | Self::OpenSquare
                | Self::OpenTriangle
                | Self::OpenInvertedTriangle
                | Self::OpenDiamond
        )
    }

    /// Corners around a point.
    pub(super) fn outline(self, [x, y]: [f64; 2], r: f64) -> Vec<[f64; 2]> {
        // sixteenths of a turn: cosines of 0, 22.5, 45, 67.5 and 90 degrees
        const TURN: [f64; 5] = [1.0, 0.923_88, std::f64::consts::FRAC_1_SQRT_2, 0.382_683, 0.0];
        match self {
            Self::Circle | Self::Ring => (0..16)
                .map(|i: usize| {
                    let (quarter, k) = (i / 4, i % 4);
                    let (c, s) = (TURN[k], TURN[4 - k]);
                    let [dx, dy] = [[c, s], [-s, c], [-c, -s], [s, -c]][quarter];
                    [x + r * dx, y + r * dy]
                })
                .collect(),
            Self::Square | Self::OpenSquare => {
                let r = 0.9 * r;
                vec![[x - r, y - r], [x + r, y - r], [x + r, y + r], [x - r, y + r]]
            }
            Self::Triangle | Self::OpenTriangle => {
                vec![[x - r, y + r], [x + r, y + r], [x, y - r]]
            }
            Self::InvertedTriangle | Self::OpenInvertedTriangle => {
                vec![[x - r, y - r], [x + r, y - r], [x, y + r]]
            }
            Self::Diamond | Self::OpenDiamond => {
                let r = 1.2 * r;
                vec![[x - r, y], [x, y - r], [x + r, y], [x, y + r]]
            }
        }
    }
}
