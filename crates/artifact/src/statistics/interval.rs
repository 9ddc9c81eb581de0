//! Intervals: of means of few numbers by Student's t, of estimates with known standard errors, of shares.

use super::student;
use crate::ArtifactError;
use icl_numerics::{largest, order};

/// Error of the first kind that is allowed: for an item as a whole, and for one interval.
pub const ALPHA: f64 = 0.05;

/// A mean with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Mean of the sample.
    pub mean: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Size of the sample.
    pub n: usize,
}

impl Interval {
    /// Both ends.
    pub fn ends(&self) -> [f64; 2] {
        [self.lower, self.upper]
    }

    /// Interval of `|x - 1|` from that of a ratio `x`.
    #[must_use]
    pub fn distance_from_one(&self) -> Self {
        let ends = [(self.lower - 1.0).abs(), (self.upper - 1.0).abs()];
        let crosses = self.lower <= 1.0 && self.upper >= 1.0;
        Self {
            mean: (self.mean - 1.0).abs(),
            lower: if crosses { 0.0 } else { largest::least(ends) },
            upper: largest::value(ends),
            n: self.n,
        }
    }
}

/// Mean of a sample with its 95 % interval by Student's t.
///
/// The interval of a single number is its own value: nothing is known of its spread, and no verdict rests on fewer
/// than six numbers.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no number.
pub fn mean(sample: &[f64]) -> Result<Interval, ArtifactError> {
    mean_of_several(sample, 1)
}

/// Mean of one of `count` samples that are judged together: at Bonferroni's level, `1 - 0.05 / count`.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no number.
pub fn mean_of_several(sample: &[f64], count: usize) -> Result<Interval, ArtifactError> {
    let mean = order::mean(sample).ok_or_else(|| no_sample(0, 0))?;
    Ok(student_interval(mean, standard_error(sample), sample.len(), count))
}

/// Ratio of the means of two paired samples with its 95 % interval: Student's t of the residuals `a - r b`, to first
/// order in the spread of `b`.
///
/// # Errors
/// [`ArtifactError::Table`] if there is no pair.
pub fn ratio(above: &[f64], below: &[f64]) -> Result<Interval, ArtifactError> {
    let n = above.len();
    let (Some(a), Some(b)) = (order::mean(above), order::mean(below).filter(|_| below.len() == n))
    else {
        return Err(no_sample(n, below.len()));
    };
    let residuals: Vec<f64> = above.iter().zip(below).map(|(x, y)| x - a / b * y).collect();
    Ok(student_interval(a / b, standard_error(&residuals) / b.abs(), n, 1))
}

fn student_interval(mean: f64, error: f64, n: usize, count: usize) -> Interval {
    let level = 1.0 - ALPHA / count as f64;
    let half = if n < 2 { 0.0 } else { student::quantile(level, n - 1) * error };
    Interval { mean, lower: mean - half, upper: mean + half, n }
}

fn no_sample(above: usize, below: usize) -> ArtifactError {
    let found = format!("{above} and {below} numbers");
    ArtifactError::table("interval", "sample", found, "at least one number, or pairs")
}

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
    fn an_interval_of_few_numbers_is_students() {
        // sd 1, n = 4: 3.182 / 2 on either side
        let i = mean(&[9.0, 10.0, 10.0, 11.0].map(|x| 10.0 + (x - 10.0) * 1.5_f64.sqrt())).unwrap();
        assert!((i.mean - 10.0).abs() < 1e-12 && (i.upper - 11.591).abs() < 1e-3, "{i:?}");
        assert!((i.upper + i.lower - 20.0).abs() < 1e-12 && i.n == 4);
        let one = mean(&[7.0]).unwrap();
        assert_eq!((one.ends(), one.n), ([7.0, 7.0], 1));
        let wide = mean_of_several(&[1.0, 2.0, 4.0, 8.0], 10).unwrap();
        assert!(wide.upper > mean(&[1.0, 2.0, 4.0, 8.0]).unwrap().upper);
        assert!(mean(&[]).is_err() && ratio(&[1.0], &[]).is_err());
    }

    #[test]
    fn a_ratio_of_proportional_pairs_is_sure_and_others_have_the_error_of_their_residuals() {
        let sure = ratio(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((sure.mean, sure.ends()), (2.0, [2.0, 2.0]));
        // against a constant it is the interval of the mean, scaled
        let (a, b) = ([1.0, 2.0, 4.0], [2.0; 3]);
        let (found, direct) = (ratio(&a, &b).unwrap(), mean(&a).unwrap());
        assert!((found.upper - direct.upper / 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_distance_from_one_is_zero_at_its_lower_end_where_the_interval_holds_one() {
        let of = |mean, lower, upper| Interval { mean, lower, upper, n: 9 }.distance_from_one();
        assert_eq!(of(1.25, 0.5, 1.75), Interval { mean: 0.25, lower: 0.0, upper: 0.75, n: 9 });
        assert_eq!(of(0.5, 0.25, 0.75), Interval { mean: 0.5, lower: 0.25, upper: 0.75, n: 9 });
        assert_eq!(of(2.0, 1.5, 4.0), Interval { mean: 1.0, lower: 0.5, upper: 3.0, n: 9 });
    }

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
