//! Claims as predicates over exported data, and short ways to state them.

mod build;

pub use build::{
    Measurement, Place, agree, at_least, at_most, compared, over_seeds, sampled, tested,
};

use crate::statistics::comparison::{Evidence, FEWEST, Word};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It holds with room to spare.
    Holds,
    /// It holds with little room (below).
    Narrowly,
    /// The interval covers the bound; of a comparison, neither difference nor equivalence is shown.
    Undecided,
    /// It does not hold.
    Fails,
    /// Lower than plain.
    Better,
    /// Within the margin of plain.
    Equivalent,
    /// Higher than plain.
    Worse,
    /// Too few seeds for any verdict.
    NotJudged,
}

/// One claim with its evidence.
///
/// *Holds* if all of the interval lies on the right side and the value's distance to the bound is at
/// least three times the half width of the interval, *narrowly* if less, *undecided* if the interval
/// covers the bound, *fails* if all of it lies on the wrong side. A value that is computed, not sampled, has
/// an interval of one point: then *narrowly* if it uses more than a third of a positive bound it must stay under
/// (less than three times a bound it must reach). A value that is as good as it can be holds, however near the bound
/// lies. An estimate over fewer than six seeds is *not judged*.
///
/// A comparison with plain says *better*, *worse*, *equivalent* or *undecided*, by
/// [`Evidence::word`](crate::statistics::comparison::Evidence::word).
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
    /// Size of the sample, where it is one of seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// Side of the bound.
    pub side: Side,
    /// The bound.
    pub bound: f64,
    /// The best that the value can be, where there is such a value: 1 for a share that should be large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// P-values, where the claim compares a setting with plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Evidence>,
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

    /// The claim of a value that cannot be better than `best`.
    #[must_use]
    pub fn with_best(self, best: f64) -> Self {
        Self { best: Some(best), ..self }.judged()
    }

    /// What value, interval and bound say; of a comparison, what its p-values say.
    pub fn judge(&self) -> Verdict {
        if let Some(evidence) = &self.comparison {
            return evidence.word(self.value).into();
        }
        if self.value.is_nan() {
            return Verdict::Fails;
        }
        if self.seeds.is_some_and(|n| n < FEWEST) {
            return Verdict::NotJudged;
        }
        let [lower, upper] = self.interval;
        let (worst, best) = match self.side {
            Side::AtMost => (self.bound - upper, self.bound - lower),
            Side::AtLeast => (lower - self.bound, upper - self.bound),
        };
        match (worst >= 0.0, best > 0.0) {
            (true, _) if self.best == Some(self.value) => Verdict::Holds,
            (true, _) if self.has_little_room() => Verdict::Narrowly,
            (true, _) => Verdict::Holds,
            (false, true) => Verdict::Undecided,
            (false, false) => Verdict::Fails,
        }
    }

    fn has_little_room(&self) -> bool {
        let [lower, upper] = self.interval;
        // room > 0 means on the right side
        let room = match self.side {
            Side::AtMost => self.bound - self.value,
            Side::AtLeast => self.value - self.bound,
        };
        if self.sampled {
            // a sample without spread that is none of seeds says nothing of its error
            return room < 1.5 * (upper - lower) || (lower == upper && self.seeds.is_none());
        }
        match self.side {
            Side::AtMost => self.bound > 0.0 && 3.0 * self.value > self.bound,
            Side::AtLeast => self.bound > 0.0 && self.value < 3.0 * self.bound,
        }
    }

    /// Whether a run must be reported as failed: expected to hold, judged, and does not.
    pub fn breaks(&self) -> bool {
        self.expected && !matches!(self.judge(), Verdict::NotJudged) && !self.judge().is_met()
    }
}

impl Verdict {
    /// Lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Narrowly => "narrowly",
            Self::Undecided => Word::Undecided.text(),
            Self::Fails => "fails",
            Self::Better => Word::Better.text(),
            Self::Equivalent => Word::Equivalent.text(),
            Self::Worse => Word::Worse.text(),
            Self::NotJudged => Word::NotJudged.text(),
        }
    }

    /// Whether the claim is met: a bound that holds, or a setting that is better than plain.
    pub fn is_met(self) -> bool {
        matches!(self, Self::Holds | Self::Narrowly | Self::Better)
    }
}

impl From<Word> for Verdict {
    fn from(word: Word) -> Self {
        match word {
            Word::Better => Self::Better,
            Word::Worse => Self::Worse,
            Word::Equivalent => Self::Equivalent,
            Word::Undecided => Self::Undecided,
            Word::NotJudged => Self::NotJudged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(value: f64, interval: [f64; 2], sampled: bool, side: Side, bound: f64) -> Claim {
        let (id, statement, evidence) = ("c".into(), "s".into(), "e".into());
        let (seeds, best, comparison) = (None, None, None);
        let (expected, verdict) = (true, Verdict::Fails);
        Claim {
            id,
            statement,
            value,
            interval,
            sampled,
            seeds,
            side,
            bound,
            best,
            comparison,
            expected,
            evidence,
            verdict,
        }
        .judged()
    }

    #[test]
    fn verdicts_follow_value_and_interval() {
        use Side::{AtLeast, AtMost};
        let exact = |value: f64, side, bound| claim(value, [value; 2], false, side, bound).verdict;
        let sampled = |value, ends, side, bound| claim(value, ends, true, side, bound).verdict;
        assert_eq!(exact(1.0, AtMost, 4.0), Verdict::Holds);
        assert_eq!(exact(2.0, AtMost, 4.0), Verdict::Narrowly);
        assert_eq!(exact(5.0, AtMost, 4.0), Verdict::Fails);
        assert_eq!(exact(1.0, AtLeast, 1.0), Verdict::Narrowly);
        assert_eq!(exact(f64::NAN, AtMost, 4.0), Verdict::Fails);
        assert_eq!(sampled(-1.0, [-1.1, -0.9], AtMost, 0.0), Verdict::Holds);
        assert_eq!(sampled(-1.0, [-1.9, -0.1], AtMost, 0.0), Verdict::Narrowly);
        assert_eq!(sampled(-1.0, [-2.5, 0.5], AtMost, 0.0), Verdict::Undecided);
        assert_eq!(sampled(1.0, [0.5, 1.5], AtMost, 0.0), Verdict::Fails);
        assert_eq!(sampled(1.0, [0.9, 1.1], AtLeast, 0.0), Verdict::Holds);
        assert_eq!(sampled(-1.0, [-1.0, -1.0], AtMost, 0.0), Verdict::Narrowly);
    }

    #[test]
    fn a_value_at_its_best_holds_and_few_seeds_are_not_judged() {
        let share = claim(1.0, [0.96, 1.0], true, Side::AtLeast, 0.95);
        assert_eq!(share.verdict, Verdict::Narrowly);
        assert_eq!(share.clone().with_best(1.0).verdict, Verdict::Holds);
        // the interval's end counts all the same
        let few = Claim { bound: 0.99, ..share };
        assert_eq!(few.with_best(1.0).verdict, Verdict::Undecided);
        let seeds =
            |n| Claim { seeds: Some(n), ..claim(9.0, [8.0, 10.0], true, Side::AtMost, 1.0) };
        assert!(seeds(5).judge() == Verdict::NotJudged && !seeds(5).breaks());
        assert!(seeds(6).judge() == Verdict::Fails && seeds(6).breaks());
        let nan = Claim { value: f64::NAN, ..seeds(5) };
        assert!(nan.judge() == Verdict::Fails && nan.breaks());
    }

    #[test]
    fn a_comparison_is_judged_by_its_p_values() {
        let with = |value, p_difference, p_equivalence| {
            let comparison = Some(Evidence { n: 10, p_difference, p_equivalence });
            Claim { comparison, ..claim(value, [value; 2], true, Side::AtMost, 0.0) }.judge()
        };
        assert_eq!(with(-1.0, 0.01, 1.0), Verdict::Better);
        assert_eq!(with(1.0, 0.01, 1.0), Verdict::Worse);
        assert_eq!(with(-1.0, 0.01, 0.04), Verdict::Equivalent);
        assert_eq!(with(-1.0, 0.06, 0.06), Verdict::Undecided);
        assert_eq!(with(-1.0, f64::NAN, f64::NAN), Verdict::Undecided);
    }
}
