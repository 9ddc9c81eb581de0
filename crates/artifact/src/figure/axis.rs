//! Axes: ranges, ticks and their labels.

use super::PanelFault;
use super::ticks::{linear_ticks, log_ticks};
use icl_numerics::largest;
use icl_numerics::math;

/// How values map to lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Proportionally.
    Linear,
    /// By logarithm; ticks at powers of ten.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Label with unit.
    pub label: String,
    /// Scale.
    pub scale: Scale,
    /// Fixed range; none: that of the data.
    pub range: Option<[f64; 2]>,
    /// Names of the places 1, 2, ... in place of numbers.
    pub names: Vec<String>,
}

impl Axis {
    /// A linear axis over the data's range.
    pub fn linear(label: &str) -> Self {
        Self { label: label.into(), scale: Scale::Linear, range: None, names: Vec::new() }
    }

    /// A logarithmic axis over the data's range.
    pub fn log(label: &str) -> Self {
        Self { label: label.into(), scale: Scale::Log, range: None, names: Vec::new() }
    }

    /// Named places beside each other, at 1, 2, ....
    pub fn places(label: &str, names: Vec<String>) -> Self {
        let range = Some([0.4, names.len() as f64 + 0.6]);
        Self { label: label.into(), scale: Scale::Linear, range, names }
    }

    /// The same with a fixed range.
    #[must_use]
    pub fn from_to(mut self, low: f64, high: f64) -> Self {
        self.range = Some([low, high]);
        self
    }

    /// The axis placed between two positions of the page, wide enough for `values`.
    pub(super) fn place(
        &self,
        values: impl Iterator<Item = f64>,
        from: f64,
        to: f64,
    ) -> Result<Placed, PanelFault> {
        let [low, high] = match self.range {
            Some(range) => range,
            None => self.data_range(values)?,
        };
        if self.scale == Scale::Log && low <= 0.0 {
            let what = format!("axis `{}`", self.label);
            return Err((what, format!("{low} on a logarithmic axis"), "positive values"));
        }
        let ends = [self.scale.position(low), self.scale.position(high)];
        Ok(Placed { scale: self.scale, ends, from, to, names: self.names.clone() })
    }

    /// The range that shows `values`.
    pub(super) fn data_range(
        &self,
        values: impl Iterator<Item = f64>,
    ) -> Result<[f64; 2], PanelFault> {
        // a gap in a curve is not a number: it has no place on the axis
        let shown = |x: &f64| !x.is_nan() && (self.scale == Scale::Linear || *x > 0.0);
        let values: Vec<f64> = values.filter(shown).collect();
        let (low, high) = (largest::least(values.iter().copied()), largest::value(values));
        if !(low.is_finite() && high.is_finite()) {
            return Err((
                format!("axis `{}`", self.label),
                "no value to show".into(),
                "finite values",
            ));
        }
        Ok(match self.scale {
            Scale::Linear => {
                let margin = if high > low { 0.04 * (high - low) } else { 0.5 };
                // an axis that starts at zero stays there
                let low = if low >= 0.0 && low < 0.3 * high { 0.0 } else { low - margin };
                [low, high + margin]
            }
            Scale::Log => {
                let (a, b) = (math::log10(low), math::log10(high));
                // numbers that only powers of ten write shortly need two of them
                let short = a >= -3.0 && b < 5.0;
                if !short && b.floor() <= a.ceil() {
                    return Ok([a.floor(), b.ceil()].map(|end| math::powf(10.0, end)));
                }
                let margin = if b > a { 0.04 * (b - a) } else { 0.3 };
                [math::powf(10.0, a - margin), math::powf(10.0, b + margin)]
            }
        })
    }
}

impl Scale {
    /// Length of a range on the axis.
    pub(super) fn length(self, [low, high]: [f64; 2]) -> f64 {
        self.position(high) - self.position(low)
    }

    fn position(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Log => math::log10(x),
        }
    }
}

/// An axis on the page.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    scale: Scale,
    ends: [f64; 2],
    from: f64,
    to: f64,
    names: Vec<String>,
}

/// Where a value lies beyond the ends of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    Below,
    Above,
}

/// A tick.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
}

impl Placed {
    /// Position on the page of `x`; values beyond the ends stay at the ends.
    pub(super) fn at(&self, x: f64) -> f64 {
        let position = match self.scale {
            Scale::Log if x <= 0.0 => self.ends[0],
            scale => scale.position(x).clamp(self.ends[0], self.ends[1]),
        };
        self.from
            + (position - self.ends[0]) / (self.ends[1] - self.ends[0]) * (self.to - self.from)
    }

    /// On which side `x` is left out, if it is.
    pub(super) fn beyond(&self, x: f64) -> Option<Beyond> {
        let slack = 1e-9 * (self.ends[1] - self.ends[0]);
        let position = match self.scale {
            Scale::Log if x <= 0.0 => return Some(Beyond::Below),
            scale => scale.position(x),
        };
        if position < self.ends[0] - slack {
            Some(Beyond::Below)
        } else {
            (position > self.ends[1] + slack).then_some(Beyond::Above)
        }
    }

    /// About `count` ticks with labels, or those of the names.
    pub(super) fn ticks(&self, count: usize) -> Vec<Tick> {
        let values = match self.scale {
            _ if !self.names.is_empty() => self
                .names
                .iter()
                .enumerate()
                .map(|(i, name)| ((i + 1) as f64, name.clone()))
                .collect(),
            Scale::Linear => linear_ticks(self.ends, count),
            Scale::Log => log_ticks(self.ends, count),
        };
        values.into_iter().map(|(x, label)| Tick { at: self.at(x), label }).collect()
    }

    /// Places of small ticks: twice to nine times a power of ten, where those are few.
    pub(super) fn minor(&self) -> Vec<f64> {
        let [low, high] = self.ends;
        if self.scale == Scale::Linear || high - low > 6.0 {
            return Vec::new();
        }
        let powers = low.floor() as i32..=high.ceil() as i32;
        let all = powers.flat_map(|p| (2..10).map(move |m| f64::from(m) * math::powi(10.0, p)));
        all.filter(|x| self.beyond(*x).is_none()).map(|x| self.at(x)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, low: f64, high: f64) -> Vec<String> {
        let axis = axis.clone().from_to(low, high);
        let placed = axis.place(std::iter::empty(), 0.0, 100.0).unwrap();
        placed.ticks(5).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round_numbers_and_powers_of_ten() {
        assert_eq!(labels(&Axis::linear("x"), 0.0, 15.0), ["0", "5", "10", "15"]);
        assert_eq!(labels(&Axis::linear("x"), 0.34, 0.51), ["0.35", "0.40", "0.45", "0.50"]);
        assert_eq!(
            labels(&Axis::linear("x"), -0.011, 0.011),
            ["−0.010", "−0.005", "0.000", "0.005", "0.010"]
        );
        assert_eq!(labels(&Axis::log("x"), 1e-17, 1.0), ["10⁻¹⁶", "10⁻¹²", "10⁻⁸", "10⁻⁴", "1"]);
        assert_eq!(labels(&Axis::log("x"), 0.7, 1.2), ["0.7", "0.8", "0.9", "1"]);
        assert_eq!(labels(&Axis::log("x"), 8.0, 130.0), ["10", "30", "100"]);
    }

    #[test]
    fn every_range_has_at_least_three_ticks_and_not_many_more_than_asked_for() {
        for i in 1..400 {
            let (low, high) =
                (0.37 * f64::from(i % 7), 0.37 * f64::from(i % 7) + 0.013 * f64::from(i));
            let count = labels(&Axis::linear("x"), low, high).len();
            assert!((3..=9).contains(&count), "{low} to {high}: {count}");
            let count = labels(&Axis::log("x"), low + 0.1, high + 0.2).len();
            assert!((2..=10).contains(&count), "log {low} to {high}: {count}");
        }
    }

    #[test]
    fn zero_on_a_logarithmic_axis_is_refused() {
        let axis = Axis::log("loss").from_to(0.0, 1.0);
        assert!(axis.place(std::iter::empty(), 0.0, 1.0).unwrap_err().0.contains("loss"));
    }
}
