//! The sign-flip test of paired differences: exact wherever the differences are symmetric under the null.
//!
//! Under the null each difference is as likely as its opposite, so the sum of the differences is compared with its
//! sums under all `2^n` choices of signs; up to [`EXACT`] differences all of them are taken. Source: R. Fisher, "The
//! Design of Experiments" (1935), section 21.

use icl_numerics::stream::Stream;
use icl_numerics::{largest, order};

/// Up to so many differences every choice of signs is taken; for more, 100 000 from a named stream.
pub const EXACT: usize = 20;
/// Random choices of signs beyond [`EXACT`].
const DRAWS: u64 = 100_000;
/// Sums that are equal in exact arithmetic differ by roundings: relative to the sum of sizes.
const ROUNDING: f64 = 1e-12;

/// Two-sided p-value of "the differences are symmetric around zero": share of sums at least as large in size.
pub fn two_sided(differences: &[f64]) -> f64 {
    let (sum, slack) = observed(differences);
    share(differences, |flipped| flipped.abs() >= sum.abs() - slack)
}

/// One-sided p-value against the alternative that they lie below zero: share of sums at most as large.
pub fn below(differences: &[f64]) -> f64 {
    let (sum, slack) = observed(differences);
    share(differences, |flipped| flipped <= sum + slack)
}

/// P-value of "the mean is at least `margin` away from zero", against equivalence: the larger of two one-sided tests
/// (D. Schuirmann, 1987), one with the differences moved up by the margin and one moved down.
pub fn equivalence(differences: &[f64], margin: f64) -> f64 {
    let moved = |sign: f64| differences.iter().map(|x| sign * x - margin).collect::<Vec<f64>>();
    largest::value([below(&moved(1.0)), below(&moved(-1.0))])
}

fn observed(differences: &[f64]) -> (f64, f64) {
    let sizes: Vec<f64> = differences.iter().map(|x| x.abs()).collect();
    (order::sum(differences), ROUNDING * order::sum(&sizes))
}

/// Share of choices of signs whose sum counts; NaN for differences that are no numbers.
fn share(differences: &[f64], counts: impl Fn(f64) -> bool) -> f64 {
    if differences.is_empty() || differences.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    if differences.len() > EXACT {
        let stream = Stream::new(0, "sign-flip");
        let flipped = |i: u64| {
            let mut draws = stream.sample(i);
            let sign = |x: &f64| if draws.below(2) == 0 { *x } else { -x };
            order::sum(&differences.iter().map(sign).collect::<Vec<f64>>())
        };
        let hits = (0..DRAWS).filter(|i| counts(flipped(*i))).count();
        return (hits as f64 + 1.0) / (DRAWS as f64 + 1.0);
    }
    let both = |sums: Vec<f64>, x: &f64| sums.iter().flat_map(|s| [s + x, s - x]).collect();
    let sums: Vec<f64> = differences.iter().fold(vec![0.0], both);
    sums.iter().filter(|sum| counts(**sum)).count() as f64 / sums.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_one_sign_is_the_rarest_outcome() {
        assert_eq!(two_sided(&[1.0, 2.0, 3.0]), 0.25);
        assert_eq!(below(&[-1.0, -2.0, -3.0]), 0.125);
        assert_eq!(two_sided(&[0.1; 10]), 2.0 / 1024.0);
        // of the eight sums +-1 +-2 +-3 six reach 2 in size
        assert_eq!(two_sided(&[1.0, -2.0, 3.0]), 0.75);
        assert_eq!(two_sided(&[0.0; 4]), 1.0);
        assert!(two_sided(&[]).is_nan() && below(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn equivalence_needs_all_differences_within_the_margin_on_balance() {
        assert_eq!(equivalence(&[0.1, -0.2, 0.0, 0.1], 1.0), 1.0 / 16.0);
        assert_eq!(equivalence(&[2.0, 2.0, 2.0, 2.0], 1.0), 1.0);
        assert!(equivalence(&[0.0; 4], 0.0) == 1.0);
    }

    #[test]
    fn many_differences_are_sampled_near_the_normal_limit() {
        // 40 differences of size 1, 26 of them positive: z = 12 / sqrt(40), two-sided p by the binomial: .0807
        let differences: Vec<f64> = (0..40).map(|i| if i < 26 { 1.0 } else { -1.0 }).collect();
        assert!((two_sided(&differences) - 0.0807).abs() < 0.005);
    }
}
