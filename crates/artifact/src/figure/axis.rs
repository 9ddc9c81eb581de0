//! Axes: ranges, ticks and their labels.

use super::PanelFault;
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
}

impl Axis {
    /// A linear axis over the data's range.
    pub fn linear(label: &str) -> Self {
        Self { label: label.into(), scale: Scale::Linear, range: None }
    }

    /// A logarithmic axis over the data's range.
    pub fn log(label: &str) -> Self {
        Self { label: label.into(), scale: Scale::Log, range: None }
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
        Ok(Placed { scale: self.scale, ends, from, to })
    }

    fn data_range(&self, values: impl Iterator<Item = f64>) -> Result<[f64; 2], PanelFault> {
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
                let margin = if b > a { 0.04 * (b - a) } else { 0.3 };
                let (a, b) = (a - margin, b + margin);
                // two powers of ten are the least that shows a scale
                let (a, b) = if b.floor() > a.ceil() { (a, b) } else { (a.floor(), b.ceil()) };
                [math::powf(10.0, a), math::powf(10.0, b)]
            }
        })
    }
}

impl Scale {
    fn position(self, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Log => math::log10(x),
        }
    }
}

/// An axis on the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    scale: Scale,
    ends: [f64; 2],
    from: f64,
    to: f64,
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

    /// About `count` ticks with labels.
    pub(super) fn ticks(&self, count: usize) -> Vec<Tick> {
        let values = match self.scale {
            Scale::Linear => linear_ticks(self.ends, count),
            Scale::Log => log_ticks(self.ends, count),
        };
        values.into_iter().map(|(x, label)| Tick { at: self.at(x), label }).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks([low, high]: [f64; 2], count: usize) -> Vec<(f64, String)> {
    let raw = (high - low) / count as f64;
    let power = math::log10(raw).floor() as i32;
    let ten = math::powi(10.0, power);
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * ten >= raw).unwrap_or(10.0);
    let decimals = if step == 10.0 { -(power + 1) } else { -power }.max(0) as usize;
    let step = step * ten;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| (i as f64 * step, format!("{:.decimals$}", i as f64 * step))).collect()
}

/// Powers of ten, thinned out; within less than one decade also 2 and 5 times them.
fn log_ticks([low, high]: [f64; 2], count: usize) -> Vec<(f64, String)> {
    let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
    if last - first >= 1 {
        let stride = ((last - first) as usize).div_ceil(count).max(1);
        let powers = (first..=last).filter(|p| p.rem_euclid(stride as i32) == 0);
        return powers.map(|p| (math::powi(10.0, p), power_of_ten(p))).collect();
    }
    let decades = low.floor() as i32..=high.ceil() as i32;
    let candidates = decades.flat_map(|p| [1.0, 1.5, 2.0, 3.0, 5.0, 7.0].map(|m| (m, p)));
    let inside = candidates.filter(|(m, p)| {
        let x = math::log10(*m) + f64::from(*p);
        x >= low - 1e-9 && x <= high + 1e-9
    });
    inside.map(|(m, p)| (m * math::powi(10.0, p), plain_number(m * math::powi(10.0, p)))).collect()
}

/// `10` with a superscript exponent; 1 and 10 as they are.
fn power_of_ten(p: i32) -> String {
    if p == 0 || p == 1 {
        return if p == 0 { "1".into() } else { "10".into() };
    }
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or('?'),
    };
    let exponent: String = p.to_string().chars().map(digit).collect();
    format!("10{exponent}")
}

/// A number with at most three significant digits.
pub(super) fn plain_number(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let power = math::log10(x.abs()).floor() as i32;
    if !(-3..5).contains(&power) {
        return format!("{x:.1e}");
    }
    let decimals = (2 - power).max(0) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
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
        assert_eq!(labels(&Axis::log("x"), 1e-17, 1.0), ["10⁻¹⁶", "10⁻¹²", "10⁻⁸", "10⁻⁴", "1"]);
        assert_eq!(labels(&Axis::log("x"), 0.7, 1.2), ["0.7", "1"]);
    }

    #[test]
    fn zero_on_a_logarithmic_axis_is_refused() {
        let axis = Axis::log("loss").from_to(0.0, 1.0);
        assert!(axis.place(std::iter::empty(), 0.0, 1.0).unwrap_err().0.contains("loss"));
    }
}
