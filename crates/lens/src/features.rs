//! The feature map that the options ask for.

use crate::error::Result;
use crate::options::Options;
use dual_model::feature_map::{FeatureMap, Setting};
use icl_numerics::stream::Stream;
use icl_numerics::{largest, order};

/// The map asked for; mean `|q + k|^2` and keys are read by fitted maps only.
pub(crate) fn map(
    options: &Options,
    d: usize,
    mean_z: f64,
    keys: &[&[f64]],
) -> Result<Box<dyn FeatureMap>> {
    let (stream, d_r) = (Stream::new(options.seed, "lens/features"), options.d_r);
    Ok(options.kernel.build(&Setting { stream: &stream, d_r, d, mean_z, keys })?)
}

/// The map fitted to a head: the mean of `|q + k|^2` over all pairs is `mean |q|^2 + mean |k|^2 + 2 mean q .
/// mean k`.
pub(crate) fn map_of_head(
    options: &Options,
    size: usize,
    queries: &[f64],
    keys: &[f64],
) -> Result<Box<dyn FeatureMap>> {
    let n = queries.len() / size;
    let mean = |x: &[f64]| -> Vec<f64> {
        let column = |c: usize| x.iter().skip(c).step_by(size).copied().collect::<Vec<_>>();
        (0..size).map(|c| order::sum(&column(c)) / n as f64).collect()
    };
    let squares = (order::sum_of_squares(queries) + order::sum_of_squares(keys)) / n as f64;
    let z = squares + 2.0 * order::dot(&mean(queries), &mean(keys));
    // a mean that is not finite tunes nothing; the features say themselves that they are not finite
    let z = if z.is_finite() { largest::at_least(z, 1e-12) } else { 1e300 };
    map(options, size, z, &keys.chunks_exact(size).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dual_model::feature_map::{parse, squared_sum};

    #[test]
    fn the_tuned_mean_is_that_over_all_pairs() {
        let (queries, keys) = ([0.5, 1.0, -0.25, 2.0], [1.5, -1.0, 0.75, 0.5]);
        let mut all = Vec::new();
        for q in queries.chunks_exact(2) {
            all.extend(keys.chunks_exact(2).map(|k| squared_sum(q, k)));
        }
        let options = Options { kernel: parse("favor++").unwrap(), d_r: 3, ..Options::default() };
        let got = map_of_head(&options, 2, &queries, &keys).unwrap();
        let want = map(&options, 2, order::mean(&all).unwrap(), &[]).unwrap();
        let x = [0.3, -0.2];
        for (got, want) in got.key_features(&x).iter().zip(want.key_features(&x)) {
            assert!((got - want).abs() < 1e-12);
        }
    }
}
