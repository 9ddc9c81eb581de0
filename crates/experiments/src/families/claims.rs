//! Short ways to state a claim.

use artifact::claim::{Claim, Side, Verdict};
use icl_numerics::order;

fn claim(id: &str, name: &str, statement: &str, evidence: &str) -> Claim {
    Claim {
        id: format!("{id}/{name}"),
        statement: statement.to_owned(),
        value: 0.0,
        interval: [0.0; 2],
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
    Claim { interval, ..claim }.judged()
}

/// Quantile of the normal distribution that leaves 2.5 % above it.
const NORMAL: f64 = 1.959_964;

/// 95 % interval of a mean of many numbers, from its standard error.
pub(crate) fn around(value: f64, error: f64) -> [f64; 2] {
    [value - NORMAL * error, value + NORMAL * error]
}

/// `|measured / closed - 1| <= bound` is expected of the worst of several measurements, each with its
/// standard error; the interval is the worst one's own.
pub(crate) fn agree(
    place: [&str; 3],
    statement: &str,
    measurements: impl IntoIterator<Item = Measurement>,
    bound: f64,
) -> Claim {
    let deviation = |m: Measurement| ((m.value / m.closed - 1.0).abs(), m.error / m.closed.abs());
    let worst =
        measurements.into_iter().map(deviation).fold((0.0, 0.0), |worst: (f64, f64), one| {
            // a measurement that is no number must not pass
            if worst.0.is_nan() || one.0 <= worst.0 { worst } else { one }
        });
    let [lower, upper] = around(worst.0, worst.1);
    sampled(at_most(place, statement, worst.0, bound), [lower.max(0.0), upper])
}

/// Standard error of the mean of a sample; zero for fewer than two numbers.
pub(crate) fn standard_error(sample: &[f64]) -> f64 {
    (order::variance(sample).unwrap_or(0.0) / sample.len().max(1) as f64).sqrt()
}

/// Root mean square of a sample, with its standard error by the delta method.
pub(crate) fn root_mean_square(sample: &[f64]) -> [f64; 2] {
    let squares: Vec<f64> = sample.iter().map(|x| x * x).collect();
    let root = order::mean(&squares).unwrap_or(0.0).sqrt();
    [root, standard_error(&squares) / (2.0 * root).max(f64::MIN_POSITIVE)]
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
    [(centre - half) / (1.0 + z * z / n), ((centre + half) / (1.0 + z * z / n)).min(1.0)]
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
    Claim { value, bound, interval, expected: false, ..plain }.judged()
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
        let nan = agree(["i", "c", "t"], "s", [one(f64::NAN, 0.0), one(2.0, 0.0)], 0.05);
        assert!(nan.breaks());
    }
}
