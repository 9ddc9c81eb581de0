//! Paired comparison of settings with plain over seeds: the project's one inference.
//!
//! Every setting is trained on the same prompts and from the same start as plain, seed by seed, so the
//! difference of final losses is paired. For all comparisons of an item together:
//!
//! 1. [`sign_flip::two_sided`] tests whether there is a difference, [`sign_flip::equivalence`] whether it lies
//!    within the margin, the smallest effect of interest;
//! 2. each of the two families of p-values is adjusted after Holm over all comparisons of the item;
//! 3. the word is *equivalent* where the adjusted p of equivalence is at most 5 %, otherwise *better* or *worse* where
//!    that of a difference is, otherwise *undecided*. Below six seeds nothing is judged: no choice of signs of five
//!    differences is rarer than 1 in 16.
//!
//! Lower and upper end are Student's t interval of the mean difference at 95 %, each for itself.

use super::interval::{self, ALPHA, Interval};
use super::{sign_flip, student};
use crate::ArtifactError;
use icl_numerics::{largest, order};

/// Fewer pairs than this are not judged.
pub const FEWEST: usize = 6;
/// Power at which [`Comparison::detectable`] is stated.
const POWER: f64 = 0.8;

/// A setting's paired differences to plain, one per seed.
#[derive(Debug, Clone)]
pub struct Differences {
    /// The setting.
    pub name: String,
    /// Setting minus plain, seed by seed.
    pub values: Vec<f64>,
    /// Mean differences smaller than this are of no interest.
    pub margin: f64,
}

impl Differences {
    /// Those of a setting's losses to plain's, with a margin that is a share of plain's mean.
    pub fn relative(name: &str, losses: &[f64], plain: &[f64], share: f64) -> Self {
        let values = losses.iter().zip(plain).map(|(a, b)| a - b).collect();
        let margin = share * order::mean(plain).unwrap_or(f64::NAN).abs();
        Self { name: name.to_owned(), values, margin }
    }
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Lower than plain.
    Better,
    /// Higher than plain.
    Worse,
    /// Within the margin of plain.
    Equivalent,
    /// Neither a difference nor equivalence is shown.
    Undecided,
    /// Too few seeds.
    NotJudged,
}

impl Word {
    /// In tables and on figures.
    pub fn text(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Equivalent => "equivalent",
            Self::Undecided => "undecided",
            Self::NotJudged => "not judged",
        }
    }
}

/// The adjusted p-values of a comparison, and the number of pairs.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Pairs.
    pub n: usize,
    /// Of no difference, after Holm.
    pub p_difference: f64,
    /// Of a difference beyond the margin, after Holm.
    pub p_equivalence: f64,
}

impl Evidence {
    /// What is said of a mean difference with this evidence.
    pub fn word(&self, mean: f64) -> Word {
        if self.n < FEWEST {
            Word::NotJudged
        } else if self.p_equivalence <= ALPHA {
            Word::Equivalent
        } else if self.p_difference <= ALPHA && mean < 0.0 {
            Word::Better
        } else if self.p_difference <= ALPHA && mean > 0.0 {
            Word::Worse
        } else {
            Word::Undecided
        }
    }
}

/// What the differences say.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The setting.
    pub name: String,
    /// Mean difference with its own 95 % interval; negative is better than plain.
    pub difference: Interval,
    /// Mean differences smaller than this are of no interest.
    pub margin: f64,
    /// P-values, adjusted for all comparisons of the item.
    pub evidence: Evidence,
    /// True difference that a t test at Holm's first level would show with a probability of about 80 %.
    pub detectable: f64,
}

impl Comparison {
    /// The verdict.
    pub fn word(&self) -> Word {
        self.evidence.word(self.difference.mean)
    }
}

/// Compares every setting with plain. All comparisons of an item belong into one call.
///
/// # Errors
/// [`ArtifactError::Table`] if a setting has no difference.
pub fn compare(all: &[Differences]) -> Result<Vec<Comparison>, ArtifactError> {
    let p = |test: fn(&Differences) -> f64| holm(&all.iter().map(test).collect::<Vec<f64>>());
    let difference = p(|one| sign_flip::two_sided(&one.values));
    let equivalence = p(|one| sign_flip::equivalence(&one.values, one.margin));
    let one = |(i, one): (usize, &Differences)| {
        let n = one.values.len();
        Ok(Comparison {
            name: one.name.clone(),
            difference: interval::mean(&one.values)?,
            margin: one.margin,
            evidence: Evidence { n, p_difference: difference[i], p_equivalence: equivalence[i] },
            detectable: detectable(&one.values, all.len()),
        })
    };
    all.iter().enumerate().map(one).collect()
}

/// P-values adjusted after Holm: the `k`-th smallest of `m` times `m - k` (`k` from 0), at most 1, and never below
/// that of a smaller one. NaN stays NaN and counts as the largest.
///
/// Source: S. Holm, "A simple sequentially rejective multiple test procedure" (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut ranking: Vec<usize> = (0..p.len()).collect();
    ranking.sort_by(|a, b| p[*a].total_cmp(&p[*b]).then(a.cmp(b)));
    let (mut adjusted, mut running) = (vec![f64::NAN; p.len()], 0.0);
    for (rank, i) in ranking.into_iter().enumerate().filter(|(_, i)| !p[*i].is_nan()) {
        running = largest::at_least(largest::at_most((p.len() - rank) as f64 * p[i], 1.0), running);
        adjusted[i] = running;
    }
    adjusted
}

/// `(t_(1 - alpha/2m) + t_power) sd / sqrt(n)`, quantiles of Student's t with `n - 1` degrees of freedom; of a single
/// difference, whose spread is not known, the largest number.
fn detectable(values: &[f64], comparisons: usize) -> f64 {
    let Some(nu) = values.len().checked_sub(1).filter(|nu| *nu > 0) else { return f64::MAX };
    let level = student::quantile(1.0 - ALPHA / comparisons as f64, nu);
    let power = student::quantile(2.0 * POWER - 1.0, nu);
    (level + power) * interval::standard_error(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(name: &str, centre: f64) -> Differences {
        let noise = [-1.0, -0.7, -0.3, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 0.8];
        let values = noise.iter().map(|x| centre + x).collect();
        Differences { name: name.into(), values, margin: 0.5 }
    }

    fn words(all: &[Differences]) -> Vec<&'static str> {
        compare(all).unwrap().iter().map(|one| one.word().text()).collect()
    }

    #[test]
    fn the_words_follow_difference_and_margin() {
        let all = [
            differences("far above", 5.0),
            differences("far below", -2.0),
            differences("in between", 0.45),
            Differences { margin: 2.0, ..differences("within", 0.05) },
        ];
        assert_eq!(words(&all), ["worse", "better", "undecided", "equivalent"]);
        let few =
            |one: &Differences| Differences { values: one.values[..5].to_vec(), ..one.clone() };
        assert_eq!(words(&all.each_ref().map(few)), ["not judged"; 4]);
        assert!(compare(&[Differences { values: vec![], ..all[0].clone() }]).is_err());
        let nan = Differences { values: vec![f64::NAN; 8], ..all[0].clone() };
        assert_eq!(words(&[nan]), ["undecided"]);
    }

    #[test]
    fn a_difference_within_the_margin_is_equivalent_however_sure() {
        let tiny = Differences { name: "tiny".into(), values: vec![-8e-6; 10], margin: 1e-2 };
        let found = &compare(&[tiny]).unwrap()[0];
        assert!(found.evidence.p_difference < 0.05 && found.word() == Word::Equivalent);
    }

    #[test]
    fn p_values_are_multiplied_by_the_number_of_comparisons_left() {
        assert_eq!(holm(&[0.01, 0.04, 0.02]), [0.03, 0.04, 0.04]);
        assert_eq!(holm(&[0.5, 0.9]), [1.0, 1.0]);
        let all: Vec<_> = (0..4).map(|i| differences(&i.to_string(), 3.0)).collect();
        let smallest = 2.0 / 1024.0;
        assert!(compare(&all).unwrap().iter().all(|c| c.evidence.p_difference == 4.0 * smallest));
    }

    #[test]
    fn the_detectable_difference_uses_the_level_that_is_used() {
        let values = differences("", 0.0).values;
        let error = interval::standard_error(&values);
        // nu = 9: t at 1 - .05/2 is 2.262, at 80 % power .883
        assert!((detectable(&values, 1) / error - (2.262 + 0.883)).abs() < 2e-3);
        assert!(detectable(&values, 10) > 1.4 * detectable(&values, 1));
        assert_eq!(detectable(&[1.0], 1), f64::MAX);
    }
}
