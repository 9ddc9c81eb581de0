//! Means with their 95 % bootstrap intervals, the resamples drawn from a named stream.

use artifact::statistics::{Interval, bootstrap_mean, bootstrap_ratio};
use icl_numerics::largest;
use icl_numerics::stream::Stream;

/// Mean of a sample.
pub(crate) fn mean(sample: &[f64], purpose: &str) -> anyhow::Result<Interval> {
    mean_of_several(sample, 1, purpose)
}

/// Mean of one of `count` samples that are judged together: at Bonferroni's level.
pub(crate) fn mean_of_several(
    sample: &[f64],
    count: usize,
    purpose: &str,
) -> anyhow::Result<Interval> {
    let stream = Stream::new(0, purpose);
    let mut draws = stream.sample(0);
    Ok(bootstrap_mean(sample, 1.0 - 0.05 / count as f64, |n| draws.below(n))?)
}

/// Ratio of the means of two paired samples.
pub(crate) fn ratio(above: &[f64], below: &[f64], purpose: &str) -> anyhow::Result<Interval> {
    let stream = Stream::new(0, purpose);
    let mut draws = stream.sample(0);
    Ok(bootstrap_ratio(above, below, 0.95, |n| draws.below(n))?)
}

/// Interval of `|x - 1|` from that of a ratio `x`.
pub(crate) fn distance_from_one(ratio: &Interval) -> Interval {
    let ends = [(ratio.lower - 1.0).abs(), (ratio.upper - 1.0).abs()];
    let crosses = ratio.lower <= 1.0 && ratio.upper >= 1.0;
    Interval {
        mean: (ratio.mean - 1.0).abs(),
        lower: if crosses { 0.0 } else { largest::least(ends) },
        upper: largest::value(ends),
    }
}
