//! Short ways to state a claim.

use artifact::claim::{Claim, Side, Verdict};
use icl_numerics::largest;
use icl_numerics::order;

fn claim(id: &str, name: &str, statement: &str, evidence: &str) -> Claim {
    Claim {
        id: format!("{id}/{name}"),
        statement: statement.to_owned(),
        value: 0.0,
        interval: [0.0; 2],
        sampled: false,
        side: Side::AtMost,
        bound: 0.0,
        expected: true,
        evidence: format!("data/{id}/{evidence}.csv"),
        verdict: Verdict::Inconclusive,
    }
}

/// `value <= bound` is expected of a computed value; `place` is item, claim and table.
pub(crate) fn at_most(place: [&str; 3], statement: &str, value: f64, bound: f64) -> Claim {
    let [id, name, evidence] = place;
    let interval = [value; 2];
    Claim { value, bound, interval, ..claim(id, name, statement, evidence) }.judged()
}

/// `value >= bound` is expected of a computed value.
pub(crate) fn at_least(place: [&str; 3], statement: &str, value: f64, bound: f64) -> Claim {
    Claim { side: Side::AtLeast, ..at_most(place, statement, value, bound) }.judged()
}

/// The claim of a sampled value.
pub(crate) fn sampled(claim: Claim, interval: [f64; 2]) -> Claim {
    Claim { interval, sampled: true, ..claim }.judged()
}

/// Quantile of the normal distribution that leaves 2.5 % above it.
const NORMAL: f64 = 1.959_964;

/// 95 % interval of a mean of many numbers, from its standard error.
pub(crate) fn around(value: f64, error: f64) -> [f64; 2] {
    [value - NORMAL * error, value + NORMAL * error]
}

/// The standard error whose [`around`] has the width of an interval.
pub(crate) fn error_of([lower, upper]: [f64; 2]) -> f64 {
    (upper - lower) / (2.0 * NORMAL)
}

/// `|measured / closed - 1| <= bound` is expected of the worst of several measurements, each with its
/// standard error; the interval ends at the largest upper end of all.
pub(crate) fn agree(
    place: [&str; 3],
    statement: &str,
    measurements: impl IntoIterator<Item = Measurement>,
    bound: f64,
) -> Claim {
    let deviation = |m: Measurement| ((m.value / m.closed - 1.0).abs(), m.error / m.closed.abs());
    let deviations: Vec<(f64, f64)> = measurements.into_iter().map(deviation).collect();
    let worst = largest::value(deviations.iter().map(|d| d.0));
    let lower = deviations.iter().find(|d| d.0 == worst).map_or(worst, |d| around(d.0, d.1)[0]);
    let upper = largest::value(deviations.iter().map(|d| around(d.0, d.1)[1]));
    sampled(at_most(place, statement, worst, bound), [largest::at_least(lower, 0.0), upper])
}

/// The largest of several estimates with standard errors (`sign` 1) or the smallest (`sign` -1), with an
/// interval that reaches the outermost end of all of theirs.
pub(crate) fn extreme(estimates: &[[f64; 2]], sign: f64) -> (f64, [f64; 2]) {
    let outer = |a: f64, b: f64| if a.is_nan() || b <= a { a } else { b };
    let upper = |[x, error]: &[f64; 2]| around(sign * x, *error)[1];
    let value = estimates.iter().map(|e| sign * e[0]).fold(f64::NEG_INFINITY, outer);
    let end = estimates.iter().map(upper).fold(f64::NEG_INFINITY, outer);
    let own = estimates.iter().find(|e| sign * e[0] == value).map_or(0.0, |e| e[1]);
    let ends = [sign * around(value, own)[0], sign * end];
    (sign * value, if sign > 0.0 { ends } else { [ends[1], ends[0]] })
}

/// Standard error of the mean of a sample; zero for fewer than two numbers.
pub(crate) fn standard_error(sample: &[f64]) -> f64 {
    (order::variance(sample).unwrap_or(0.0) / sample.len().max(1) as f64).sqrt()
}

/// Root mean square of a sample, with its standard error by the delta method.
pub(crate) fn root_mean_square(sample: &[f64]) -> [f64; 2] {
    let squares: Vec<f64> = sample.iter().map(|x| x * x).collect();
    let root = order::mean(&squares).unwrap_or(0.0).sqrt();
    [root, standard_error(&squares) / largest::at_least(2.0 * root, f64::MIN_POSITIVE)]
}

/// A sampled value beside its closed form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measurement {
    pub(crate) value: f64,
    /// Standard error of the value.
    pub(crate) error: f64,
    pub(crate) closed: f64,
}

/// Wilson's 95 % interval of a share of `n` independent trials.
pub(crate) fn share_interval(share: f64, n: usize) -> [f64; 2] {
    let (n, z) = (n as f64, NORMAL);
    let centre = share + z * z / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [
        (centre - half) / (1.0 + z * z / n),
        largest::at_most((centre + half) / (1.0 + z * z / n), 1.0),
    ]
}

/// `value <= bound` is under test, with its interval.
pub(crate) fn tested(
    place: [&str; 3],
    statement: &str,
    value: f64,
    interval: [f64; 2],
    bound: f64,
) -> Claim {
    let [id, name, evidence] = place;
    let plain = claim(id, name, statement, evidence);
    Claim { value, bound, interval, sampled: true, expected: false, ..plain }.judged()
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
    fn the_worst_measurement_gives_value_and_interval() {
        let one = |value, error| Measurement { value, error, closed: 2.0 };
        let claim = agree(["i", "c", "t"], "s", [one(2.02, 0.0), one(1.96, 0.01)], 0.05);
        assert!((claim.value - 0.02).abs() < 1e-12);
        assert!((claim.interval[1] - 0.0298).abs() < 1e-4 && claim.interval[0] > 0.01);
        let (low, [lower, upper]) = extreme(&[[1.0, 0.01], [0.9, 0.0], [1.1, 0.2]], -1.0);
        assert!(low == 0.9 && upper == 0.9 && (lower - (1.1 - 0.2 * 1.96)).abs() < 1e-4);
        let nan = agree(["i", "c", "t"], "s", [one(f64::NAN, 0.0), one(2.0, 0.0)], 0.05);
        assert!(nan.breaks());
    }
}
