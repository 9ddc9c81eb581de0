//! Intervals by resampling.
//!
//! Random indices come from a named stream: from sample 0 of the one that `purpose` names, or from the caller.

use crate::ArtifactError;
use icl_numerics::largest;
use icl_numerics::stream::Stream;

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Mean of the sample.
    pub mean: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Interval {
    /// Interval of `|x - 1|` from that of a ratio `x`.
    #[must_use]
    pub fn distance_from_one(&self) -> Self {
        let ends = [(self.lower - 1.0).abs(), (self.upper - 1.0).abs()];
        let crosses = self.lower <= 1.0 && self.upper >= 1.0;
        Self {
            mean: (self.mean - 1.0).abs(),
            lower: if crosses { 0.0 } else { largest::least(ends) },
            upper: largest::value(ends),
        }
    }
}

/// Number of bootstrap resamples.
const RESAMPLES: usize = 2000;

/// Mean and percentile-bootstrap interval at confidence `level`; `draw(n)` is uniform in `0..n`.
///
/// A single number has the interval of its own value.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no number.
pub fn bootstrap_mean(
    sample: &[f64],
    level: f64,
    draw: impl FnMut(u64) -> u64,
) -> Result<Interval, ArtifactError> {
    bootstrap_ratio(sample, &vec![1.0; sample.len()], level, draw)
}

/// Ratio of two paired samples' means, its interval by resampling the pairs; see [`bootstrap_mean`].
///
/// # Errors
/// [`ArtifactError::Table`] if there is no pair.
pub fn bootstrap_ratio(
    above: &[f64],
    below: &[f64],
    level: f64,
    mut draw: impl FnMut(u64) -> u64,
) -> Result<Interval, ArtifactError> {
    let n = above.len();
    if n == 0 || below.len() != n {
        let found = format!("{n} and {} numbers", below.len());
        return Err(ArtifactError::table("bootstrap", "sample", found, "pairs, at least one"));
    }
    let ratio = |rows: &[usize]| {
        let sum = |x: &[f64]| rows.iter().map(|i| x[*i]).sum::<f64>();
        sum(above) / sum(below)
    };
    let all: Vec<usize> = (0..n).collect();
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| ratio(&all.iter().map(|_| draw(n as u64) as usize).collect::<Vec<usize>>()))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |p: f64| ratios[((p * (RESAMPLES - 1) as f64).round() as usize).min(RESAMPLES - 1)];
    let (lower, upper) = (at((1.0 - level) / 2.0), at(f64::midpoint(1.0, level)));
    Ok(Interval { mean: ratio(&all), lower, upper })
}

/// Mean of a sample with its 95 % interval.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no number.
pub fn mean(sample: &[f64], purpose: &str) -> Result<Interval, ArtifactError> {
    mean_of_several(sample, 1, purpose)
}

/// Mean of one of `count` samples that are judged together: at Bonferroni's level, `1 - 0.05 / count`.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no number.
pub fn mean_of_several(
    sample: &[f64],
    count: usize,
    purpose: &str,
) -> Result<Interval, ArtifactError> {
    let stream = Stream::new(0, purpose);
    let mut draws = stream.sample(0);
    bootstrap_mean(sample, 1.0 - 0.05 / count as f64, |n| draws.below(n))
}

/// Ratio of the means of two paired samples with its 95 % interval.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no pair.
pub fn ratio(above: &[f64], below: &[f64], purpose: &str) -> Result<Interval, ArtifactError> {
    let stream = Stream::new(0, purpose);
    let mut draws = stream.sample(0);
    bootstrap_ratio(above, below, 0.95, |n| draws.below(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_mean_and_one_number_is_its_own_interval() {
        let mut state = 1_u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let i = bootstrap_mean(&[1.0, 2.0, 3.0, 4.0], 0.95, &mut draw).unwrap();
        assert!(i.mean == 2.5 && i.lower < 2.0 && i.upper > 3.0, "{i:?}");
        let one = bootstrap_mean(&[7.0], 0.95, &mut draw).unwrap();
        assert_eq!((one.lower, one.upper), (7.0, 7.0));
        let ratio = bootstrap_ratio(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0], 0.95, &mut draw).unwrap();
        assert_eq!((ratio.mean, ratio.lower, ratio.upper), (2.0, 2.0, 2.0));
        assert!(bootstrap_mean(&[], 0.95, draw).is_err());
    }

    #[test]
    fn a_purpose_names_the_draws_and_several_samples_have_wider_intervals() {
        let sample = [1.0, 2.0, 4.0, 8.0, 16.0];
        let [one, again] = [(); 2].map(|()| mean(&sample, "bootstrap/test").unwrap());
        let other = mean(&sample, "bootstrap/other").unwrap();
        assert!(one == again && one.mean == 6.2 && one != other);
        let wide = mean_of_several(&sample, 10, "bootstrap/test").unwrap();
        assert!(wide.lower < one.lower && wide.upper > one.upper, "{wide:?} {one:?}");
        let double = sample.map(|x| 2.0 * x);
        let half = ratio(&sample, &double, "bootstrap/test").unwrap();
        assert_eq!((half.mean, half.lower, half.upper), (0.5, 0.5, 0.5));
    }

    #[test]
    fn the_distance_from_one_is_zero_at_its_lower_end_where_the_interval_holds_one() {
        let of = |mean, lower, upper| Interval { mean, lower, upper }.distance_from_one();
        assert_eq!(of(1.25, 0.5, 1.75), Interval { mean: 0.25, lower: 0.0, upper: 0.75 });
        assert_eq!(of(0.5, 0.25, 0.75), Interval { mean: 0.5, lower: 0.25, upper: 0.75 });
        assert_eq!(of(2.0, 1.5, 4.0), Interval { mean: 1.0, lower: 0.5, upper: 3.0 });
    }
}
