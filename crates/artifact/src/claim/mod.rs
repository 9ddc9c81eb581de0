//! Claims as predicates over exported data, and short ways to state them.

mod build;

pub use build::{Measurement, Place, agree, at_least, at_most, sampled, tested};

use serde::{Deserialize, Serialize};

/// On which side of the bound the value has to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// `value <= bound`.
    AtMost,
    /// `value >= bound`.
    AtLeast,
}

/// What the data say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds with room to spare.
    Holds,
    /// It holds with little room (below).
    Thin,
    /// The interval covers the bound.
    Inconclusive,
    /// It does not hold.
    Fails,
}

/// One claim with its evidence.
///
/// *Holds* if all of the interval lies on the right side and the value's distance to the bound is at
/// least three times the half width of the interval, *thin* if less, *inconclusive* if the interval
/// covers the bound, *fails* if all of it lies on the wrong side. A value that is computed, not sampled, has
/// an interval of one point: then *thin* if it uses more than a third of a positive bound it must stay under
/// (less than three times a bound it must reach). A sample without spread, such as a single seed, is *thin*
/// at best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Item and number, for example `fig3-linear/1`.
    pub id: String,
    /// What is claimed, one sentence.
    pub statement: String,
    /// The measured value.
    pub value: f64,
    /// 95 % interval of the value; of one point where nothing is sampled.
    pub interval: [f64; 2],
    /// Whether the value is an estimate from a sample; otherwise it is computed.
    pub sampled: bool,
    /// Side of the bound.
    pub side: Side,
    /// The bound.
    pub bound: f64,
    /// Whether it is expected to hold; a claim under test is not.
    pub expected: bool,
    /// The table it is read from.
    pub evidence: String,
    /// What the data say; [`Claim::judged`] sets it.
    pub verdict: Verdict,
}

impl Claim {
    /// The claim with its verdict.
    #[must_use]
    pub fn judged(mut self) -> Self {
        self.verdict = self.judge();
        self
    }

    /// What value, interval and bound say.
    pub fn judge(&self) -> Verdict {
        let sign = match self.side {
            Side::AtMost => 1.0,
            Side::AtLeast => -1.0,
        };
        // room > 0 means on the right side
        let room = sign * (self.bound - self.value);
        if self.value.is_nan() {
            return Verdict::Fails;
        }
        let [lower, upper] = self.interval;
        let (worst, best) = match self.side {
            Side::AtMost => (self.bound - upper, self.bound - lower),
            Side::AtLeast => (lower - self.bound, upper - self.bound),
        };
        let little_room = if self.sampled {
            lower == upper || room < 3.0 * (upper - lower) / 2.0
        } else {
            match self.side {
                Side::AtMost => self.bound > 0.0 && 3.0 * self.value > self.bound,
                Side::AtLeast => self.bound > 0.0 && self.value < 3.0 * self.bound,
            }
        };
        match (worst >= 0.0, best > 0.0) {
            (true, _) if little_room => Verdict::Thin,
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Inconclusive,
            (false, false) => Verdict::Fails,
        }
    }

    /// Whether a run must be reported as failed: expected to hold, and does not.
    pub fn breaks(&self) -> bool {
        self.expected && self.judge() >= Verdict::Inconclusive
    }
}

impl Verdict {
    /// Lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Thin => "thin",
            Self::Inconclusive => "inconclusive",
            Self::Fails => "fails",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(value: f64, interval: [f64; 2], sampled: bool, side: Side, bound: f64) -> Verdict {
        let (id, statement, evidence) = ("c".into(), "s".into(), "e".into());
        let (expected, verdict) = (true, Verdict::Fails);
        Claim { id, statement, value, interval, sampled, side, bound, expected, evidence, verdict }
            .judged()
            .verdict
    }

    #[test]
    fn verdicts_follow_value_and_interval() {
        use Side::{AtLeast, AtMost};
        let exact = |value: f64, side, bound| judge(value, [value; 2], false, side, bound);
        let claim = |value, interval, side, bound| judge(value, interval, true, side, bound);
        assert_eq!(exact(1.0, AtMost, 4.0), Verdict::Holds);
        assert_eq!(exact(2.0, AtMost, 4.0), Verdict::Thin);
        assert_eq!(exact(5.0, AtMost, 4.0), Verdict::Fails);
        assert_eq!(exact(1.0, AtLeast, 1.0), Verdict::Thin);
        assert_eq!(exact(f64::NAN, AtMost, 4.0), Verdict::Fails);
        assert_eq!(claim(-1.0, [-1.1, -0.9], AtMost, 0.0), Verdict::Holds);
        assert_eq!(claim(-1.0, [-1.9, -0.1], AtMost, 0.0), Verdict::Thin);
        assert_eq!(claim(-1.0, [-2.5, 0.5], AtMost, 0.0), Verdict::Inconclusive);
        assert_eq!(claim(1.0, [0.5, 1.5], AtMost, 0.0), Verdict::Fails);
        assert_eq!(claim(1.0, [0.9, 1.1], AtLeast, 0.0), Verdict::Holds);
        assert_eq!(claim(-1.0, [-1.0, -1.0], AtMost, 0.0), Verdict::Thin);
    }
}
