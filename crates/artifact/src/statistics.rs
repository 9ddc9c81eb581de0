//! Intervals by resampling. Random indices come from the caller, so that streams stay named.

use crate::ArtifactError;

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
}
