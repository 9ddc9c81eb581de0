//! Colours, dashes and markers: what a name looks like in every figure.
//!
//! Five hues, told apart in grey and by the colour-blind (tests compute the distances), never more: what shares a hue
//! belongs together and differs by dashes and marker.

use super::names::{Hue, NAMES};
use super::strokes::{DASHED, DOTTED, MIXED, Marker, Rgb, SOLID};
use crate::ArtifactError;

/// Text and axes.
pub(super) const INK: Rgb = [34, 34, 34];
/// Grid lines.
pub(super) const GRID: Rgb = [236, 236, 236];
/// What lies below everything.
pub(super) const PAPER: Rgb = [255, 255, 255];

/// Sizes of text in points, none below what can be read in print.
pub(super) const SMALL: f64 = 6.5;
pub(super) const LABEL: f64 = 7.0;
pub(super) const TITLE: f64 = 7.5;

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    pub(super) colour: Rgb,
    pub(super) dashes: &'static [f64],
    pub(super) marker: Option<Marker>,
    pub(super) width: f64,
}

impl Style {
    const WIDTH: f64 = 1.0;

    /// The style of a name that stands in the table of names.
    ///
    /// # Errors
    /// [`ArtifactError::Figure`] if it does not.
    pub fn of(name: &str) -> Result<Self, ArtifactError> {
        let found = NAMES.iter().find(|(known, ..)| *known == name);
        let (_, hue, dashes, marker) = found.ok_or_else(|| ArtifactError::Figure {
            figure: "style".into(),
            what: format!("name `{name}`"),
            found: "a name without a style".into(),
            expected: "one of the table of names (figure/style.rs)".into(),
        })?;
        Ok(Self { colour: hue.rgb(), dashes, marker: Some(*marker), width: Self::WIDTH })
    }

    /// The style of one of a few things that only a run's inputs name.
    ///
    /// # Errors
    /// [`ArtifactError::Figure`] beyond the number of hues.
    pub fn nth(i: usize) -> Result<Self, ArtifactError> {
        let markers =
            [Marker::Circle, Marker::Triangle, Marker::Square, Marker::Diamond, Marker::Ring];
        let hue = Hue::ALL.get(i).ok_or_else(|| ArtifactError::Figure {
            figure: "style".into(),
            what: "number of series".into(),
            found: format!("at least {}", i + 1),
            expected: format!("at most {}, the number of hues", Hue::ALL.len()),
        })?;
        Ok(Self { colour: hue.rgb(), dashes: SOLID, marker: Some(markers[i]), width: Self::WIDTH })
    }

    /// The `i`-th of `n` values of one quantity: shades of one hue, dark for the first.
    pub fn shade(i: usize, n: usize) -> Self {
        const MARKERS: [Marker; 4] =
            [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];
        let t = if n > 1 { i as f64 / (n - 1) as f64 } else { 0.0 };
        let [dark, light]: [[f64; 3]; 2] = [[18.0, 53.0, 91.0], [122.0, 178.0, 226.0]];
        let mix = |k: usize| (dark[k] + (light[k] - dark[k]) * t).round() as u8;
        Self {
            colour: [mix(0), mix(1), mix(2)],
            dashes: SOLID,
            marker: Some(MARKERS[i % MARKERS.len()]),
            width: Self::WIDTH,
        }
    }

    /// What the others are compared with: grey, solid.
    pub const REFERENCE: Self =
        Self { colour: [138, 138, 138], dashes: SOLID, marker: None, width: 1.4 };

    /// A theoretical value: thin and black, below the markers of what is measured.
    pub const THEORY: Self = Self { colour: [0, 0, 0], dashes: SOLID, marker: None, width: 0.7 };

    /// A level to be compared with: black, dashed.
    pub const LEVEL: Self = Self { colour: [0, 0, 0], dashes: DASHED, marker: None, width: 0.7 };

    /// What is reached without learning: grey, dotted, without marker.
    pub const LIMIT: Self = Self { colour: [90, 90, 90], dashes: DOTTED, marker: None, width: 0.9 };

    /// The same without a marker.
    #[must_use]
    pub fn unmarked(mut self) -> Self {
        self.marker = None;
        self
    }

    /// The same with a solid line.
    #[must_use]
    pub fn solid(mut self) -> Self {
        self.dashes = SOLID;
        self
    }

    /// The `i`-th of several of the same name.
    #[must_use]
    pub fn variant(mut self, i: usize) -> Self {
        const DASHES: [&[f64]; 3] = [DASHED, DOTTED, MIXED];
        if i > 0 {
            self.dashes = DASHES[(i - 1) % DASHES.len()];
            self.marker = Some(Marker::OpenDiamond);
        }
        self
    }

    /// One run of several of the same name: a thin solid line.
    #[must_use]
    pub fn run(mut self) -> Self {
        self.marker = None;
        self.dashes = SOLID;
        self.width = 0.5;
        self
    }
}

/// Diverging colour of `t` in `[-1, 1]`: blue, white, brick; ends of equal lightness.
pub(super) fn diverging(t: f64) -> Rgb {
    let t = t.clamp(-1.0, 1.0);
    let end: [f64; 3] = if t < 0.0 { [20.0, 90.0, 160.0] } else { [166.0, 61.0, 47.0] };
    end.map(|end| (255.0 + (end - 255.0) * t.abs()).round() as u8)
}

/// Sequential colour of `t` in `[0, 1]`: white to navy.
pub(super) fn sequential(t: f64) -> Rgb {
    let t = t.clamp(0.0, 1.0);
    let end: [f64; 3] = [18.0, 53.0, 91.0];
    end.map(|end| (255.0 + (end - 255.0) * t).round() as u8)
}

#[cfg(test)]
#[path = "vision.rs"]
mod vision;

#[cfg(test)]
mod tests {
    use super::vision::{Sight, distance, lightness};
    use super::*;

    /// CIELAB distances: 2.3 is just noticed; three times ten is far beyond it for thin lines.
    const LEAST: f64 = 20.0;

    #[test]
    fn hues_are_told_apart_by_everybody() {
        for sight in Sight::ALL {
            for (i, a) in Hue::ALL.iter().enumerate() {
                for b in &Hue::ALL[i + 1..] {
                    let found = distance(a.rgb(), b.rgb(), sight);
                    assert!(found > LEAST, "{a:?}, {b:?}, {sight:?}: {found:.1}");
                }
            }
        }
    }

    #[test]
    fn in_grey_hues_differ_or_their_names_do_by_marker() {
        for (i, (name, hue, dashes, marker)) in NAMES.iter().enumerate() {
            for (other, other_hue, other_dashes, other_marker) in &NAMES[i + 1..] {
                if (lightness(hue.rgb()) - lightness(other_hue.rgb())).abs() < 8.0
                    && hue != other_hue
                {
                    assert!(
                        marker != other_marker || dashes != other_dashes,
                        "{name} and {other} look the same in grey"
                    );
                }
            }
        }
    }

    #[test]
    fn names_are_in_the_table_once_and_others_are_refused() {
        let mut names: Vec<&str> = NAMES.iter().map(|entry| entry.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        assert!(Style::of("nobody").unwrap_err().to_string().contains("nobody"));
        assert!(Style::nth(5).is_err() && Style::nth(4).is_ok());
    }

    #[test]
    fn ends_of_the_diverging_scale_have_one_lightness() {
        let [low, high] = [-1.0, 1.0].map(|t| lightness(diverging(t)));
        assert!((low - high).abs() < 4.0, "{low} {high}");
    }
}
