//! Intervals of estimates with known standard errors, and of shares.

use icl_numerics::{largest, order};

/// Quantile of the normal distribution that leaves 2.5 % above it.
const NORMAL: f64 = 1.959_964;

/// 95 % interval of a mean of many numbers, from its standard error.
pub fn around(value: f64, error: f64) -> [f64; 2] {
    [value - NORMAL * error, value + NORMAL * error]
}

/// The standard error whose [`around`] has the width of an interval.
pub fn error_of([lower, upper]: [f64; 2]) -> f64 {
    (upper - lower) / (2.0 * NORMAL)
}

/// The largest of several estimates with standard errors (`sign` 1) or the smallest (`sign` -1), with an
/// interval that reaches the outermost end of all of theirs.
pub fn extreme(estimates: &[[f64; 2]], sign: f64) -> (f64, [f64; 2]) {
    let outer = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
    let upper = |[x, error]: &[f64; 2]| around(sign * x, *error)[1];
    let value = estimates.iter().map(|e| sign * e[0]).fold(f64::NEG_INFINITY, outer);
    let end = estimates.iter().map(upper).fold(f64::NEG_INFINITY, outer);
    let own = estimates.iter().find(|e| sign * e[0] == value).map_or(0.0, |e| e[1]);
    let ends = [sign * around(value, own)[0], sign * end];
    (sign * value, if sign > 0.0 { ends } else { [ends[1], ends[0]] })
}

/// Standard error of the mean of a sample; zero for fewer than two numbers.
pub fn standard_error(sample: &[f64]) -> f64 {
    (order::variance(sample).unwrap_or(0.0) / sample.len().max(1) as f64).sqrt()
}

/// Root mean square of a sample, with its standard error by the delta method.
pub fn root_mean_square(sample: &[f64]) -> [f64; 2] {
    let squares: Vec<f64> = sample.iter().map(|x| x * x).collect();
    let root = order::mean(&squares).unwrap_or(0.0).sqrt();
    [root, standard_error(&squares) / largest::at_least(2.0 * root, f64::MIN_POSITIVE)]
}

/// Wilson's 95 % interval of a share of `n` independent trials.
pub fn share_interval(share: f64, n: usize) -> [f64; 2] {
    let (n, z) = (n as f64, NORMAL);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [
        (centre - half) / (1.0 + z * z / n),
        largest::at_most((centre + half) / (1.0 + z * z / n), 1.0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_of_five_in_ten_and_of_all() {
        // 0.5 -+ 1.96 sqrt(.025 + .0096) / 1.384 = [.2366, .7634]
        let [lower, upper] = share_interval(0.5, 10);
        assert!((lower - 0.2366).abs() < 1e-4 && (upper - 0.7634).abs() < 1e-4);
        let [lower, upper] = share_interval(1.0, 200);
        assert!((lower - 200.0 / 203.8415).abs() < 1e-4 && (upper - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_extreme_reaches_the_outermost_end() {
        let (low, [lower, upper]) = extreme(&[[1.0, 0.01], [0.9, 0.0], [1.1, 0.2]], -1.0);
        assert!(low == 0.9 && upper == 0.9 && (lower - (1.1 - 0.2 * 1.96)).abs() < 1e-4);
    }

    #[test]
    fn the_error_of_an_interval_gives_it_back() {
        let [lower, upper] = around(3.0, 0.25);
        assert!((error_of([lower, upper]) - 0.25).abs() < 1e-15);
        assert!((upper - 3.0 - 1.959_964 * 0.25).abs() < 1e-15);
    }

    #[test]
    fn a_root_mean_square_has_the_error_of_its_squares_over_twice_itself() {
        // squares 1, 9: mean 5, variance 32, standard error 4
        let [root, error] = root_mean_square(&[1.0, -3.0]);
        assert!((root - 5.0_f64.sqrt()).abs() < 1e-15);
        assert!((error - 4.0 / (2.0 * 5.0_f64.sqrt())).abs() < 1e-15);
        assert_eq!(standard_error(&[7.0]), 0.0);
    }
}
