//! Grids of the settings file.

use icl_numerics::math;
use serde::{Deserialize, Serialize};

/// Equally spaced candidates, both ends among them.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grid {
    from: f64,
    to: f64,
    points: usize,
    spacing: Spacing,
}

/// What is equal between neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Spacing {
    /// Their difference.
    Linear,
    /// Their ratio.
    Log,
}

impl Grid {
    /// What is wrong with it: found, and expected.
    pub(super) fn fault(&self) -> Option<(String, &'static str)> {
        let least = if self.spacing == Spacing::Log { f64::MIN_POSITIVE } else { 0.0 };
        let fits = self.from >= least && self.to > self.from && (2..=64).contains(&self.points);
        let found = format!("{} to {} in {} points", self.from, self.to, self.points);
        (!fits).then_some((found, "0 <= from < to (0 < from if log) in 2 to 64 points"))
    }

    /// All candidates in rising order.
    pub(super) fn values(&self) -> Vec<f64> {
        let share = |i: usize| i as f64 / (self.points - 1) as f64;
        let at = |i: usize| match self.spacing {
            Spacing::Linear => self.from + (self.to - self.from) * share(i),
            Spacing::Log => self.from * math::powf(self.to / self.from, share(i)),
        };
        (0..self.points).map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(from: f64, to: f64, points: usize, spacing: Spacing) -> Grid {
        Grid { from, to, points, spacing }
    }

    #[test]
    fn neighbours_have_equal_differences_or_ratios_and_both_ends_are_there() {
        assert_eq!(grid(0.0, 1.0, 5, Spacing::Linear).values(), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let log = grid(1e-4, 1.0, 3, Spacing::Log).values();
        assert!((log[1] / 1e-2 - 1.0).abs() < 1e-12 && log[0] == 1e-4);
        assert!((log[2] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn empty_and_falling_grids_are_refused() {
        for (from, to, points, spacing) in [
            (0.0, 1.0, 3, Spacing::Log),
            (2.0, 1.0, 3, Spacing::Linear),
            (1.0, 1.0, 3, Spacing::Linear),
            (0.0, 1.0, 1, Spacing::Linear),
            (f64::NAN, 1.0, 3, Spacing::Linear),
        ] {
            assert!(grid(from, to, points, spacing).fault().is_some());
        }
        assert!(grid(0.0, 1.0, 2, Spacing::Linear).fault().is_none());
    }
}
