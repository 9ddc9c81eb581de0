//! Paired comparison of settings with plain over seeds.
//!
//! Every setting is trained on the same prompts and from the same start as plain, seed by seed, so the
//! difference of final losses is paired. Its interval is a percentile bootstrap over seeds at Holm's
//! level: settings are ranked by p-value, and rank `k` of `m` gets confidence `1 - 0.05 / (m - k)`
//! (`k` from 0). The percentile bootstrap of so few numbers is too narrow: with ten seeds its 95 % intervals
//! cover about 90 %, and verdicts near the bound are surer in words than in fact.

use crate::ArtifactError;
use icl_numerics::stream::Stream;
use icl_numerics::{largest, order};

const RESAMPLES: usize = 10_000;
const ALPHA: f64 = 0.05;

/// A setting's paired differences to plain, one per seed.
#[derive(Debug, Clone)]
pub struct Differences {
    /// The setting.
    pub name: String,
    /// Setting minus plain, seed by seed.
    pub values: Vec<f64>,
}

/// What the differences say.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The setting.
    pub name: String,
    /// Mean difference; negative is better than plain.
    pub mean: f64,
    /// Lower end of the interval at Holm's level.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Two-sided bootstrap p-value, adjusted after Holm.
    pub p_holm: f64,
    /// True difference that one comparison at 5 % alone would show with a probability of 80 %, by the normal
    /// approximation; at Holm's first step for ten comparisons it is about 1.3 times as large.
    pub detectable: f64,
}

impl Comparison {
    /// The verdict in words.
    pub fn word(&self) -> &'static str {
        if self.upper < 0.0 {
            "better"
        } else if self.lower > 0.0 {
            "worse"
        } else {
            "no difference shown"
        }
    }
}

/// Compares every setting with plain; `purpose` names the stream of resamples.
///
/// # Errors
/// [`ArtifactError::Table`] if a setting has no difference.
pub fn compare(all: &[Differences], purpose: &str) -> Result<Vec<Comparison>, ArtifactError> {
    let means: Vec<Vec<f64>> =
        all.iter().map(|one| resampled_means(&one.values, purpose)).collect::<Result<_, _>>()?;
    let p_values: Vec<f64> = means.iter().map(|means| two_sided_p(means)).collect();
    let mut ranking: Vec<usize> = (0..all.len()).collect();
    ranking.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]).then(a.cmp(b)));
    let mut p_holm = vec![1.0; all.len()];
    let mut confidence = vec![1.0 - ALPHA; all.len()];
    let mut running = 0.0;
    let mut frozen: Option<f64> = None;
    for (rank, i) in ranking.into_iter().enumerate() {
        let left = (all.len() - rank) as f64;
        running = largest::at_least(largest::at_most(left * p_values[i], 1.0), running);
        p_holm[i] = running;
        // after the first that is not significant, Holm stops: the others keep its level
        let level = *frozen.get_or_insert(ALPHA / left);
        if p_values[i] <= ALPHA / left && frozen == Some(ALPHA / left) {
            frozen = None;
        }
        confidence[i] = 1.0 - level;
    }
    let comparison = |(i, one): (usize, &Differences)| {
        let tail = (1.0 - confidence[i]) / 2.0;
        let at = |p: f64| means[i][(p * (RESAMPLES - 1) as f64).round() as usize];
        let n = one.values.len() as f64;
        let sd = order::variance(&one.values).unwrap_or(0.0).sqrt();
        Comparison {
            name: one.name.clone(),
            mean: order::mean(&one.values).unwrap_or(0.0),
            lower: at(tail),
            upper: at(1.0 - tail),
            p_holm: p_holm[i],
            // 1.960 + 0.842: two-sided 5 %, power 80 %, normal approximation
            detectable: (1.960 + 0.842) * sd / n.sqrt(),
        }
    };
    Ok(all.iter().enumerate().map(comparison).collect())
}

/// Sorted means of bootstrap resamples.
fn resampled_means(values: &[f64], purpose: &str) -> Result<Vec<f64>, ArtifactError> {
    if values.is_empty() {
        return Err(ArtifactError::table("comparison", "sample", "no value", "one per seed"));
    }
    let stream = Stream::new(0, purpose);
    let mean = |i: usize| {
        let mut draws = stream.sample(i as u64);
        let resample: Vec<f64> =
            values.iter().map(|_| values[draws.below(values.len() as u64) as usize]).collect();
        order::sum(&resample) / values.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(mean).collect();
    means.sort_by(f64::total_cmp);
    Ok(means)
}

/// Twice the smaller share of resampled means on either side of zero, never below `1 / RESAMPLES`.
fn two_sided_p(means: &[f64]) -> f64 {
    let below = means.iter().filter(|x| **x <= 0.0).count();
    let above = means.iter().filter(|x| **x >= 0.0).count();
    let share = (below.min(above) as f64 + 1.0) / (means.len() as f64 + 1.0);
    largest::at_most(2.0 * share, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(name: &str, centre: f64) -> Differences {
        let noise = [-1.0, -0.7, -0.3, -0.1, 0.0, 0.1, 0.2, 0.4, 0.6, 0.8];
        Differences { name: name.into(), values: noise.iter().map(|x| centre + x).collect() }
    }

    #[test]
    fn a_clear_difference_is_found_and_none_is_not() {
        let all = [
            differences("much worse", 5.0),
            differences("same", 0.05),
            differences("better", -2.0),
        ];
        let result = compare(&all, "test").unwrap();
        assert!(result[0].lower > 0.0 && result[0].p_holm < 0.05);
        assert!(result[1].lower < 0.0 && result[1].upper > 0.0 && result[1].p_holm > 0.05);
        assert!(result[2].upper < 0.0);
        assert!(result[0].detectable > 0.0);
    }

    #[test]
    fn p_values_are_multiplied_by_the_number_of_comparisons_left() {
        let all: Vec<_> = (0..4).map(|i| differences(&i.to_string(), 3.0)).collect();
        let result = compare(&all, "test").unwrap();
        let smallest = 2.0 / (RESAMPLES as f64 + 1.0);
        assert!(result.iter().all(|one| (one.p_holm - 4.0 * smallest).abs() < 1e-12));
    }
}
