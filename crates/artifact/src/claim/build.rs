//! Short ways to state a claim.

use super::{Claim, Side, Verdict};
use crate::statistics::comparison::Comparison;
use crate::statistics::{Interval, around};
use icl_numerics::largest;

/// Where a claim stands: its item, its name there, and the table of the item that it is read from.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The item's id.
    pub item: &'a str,
    /// The claim's name, unique within the item.
    pub claim: &'a str,
    /// The table's name.
    pub table: &'a str,
}

/// A sampled value beside its closed form.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// The measured value.
    pub value: f64,
    /// Standard error of the value.
    pub error: f64,
    /// What the value should be.
    pub closed: f64,
}

fn claim(place: Place<'_>, statement: &str) -> Claim {
    let Place { item, claim, table } = place;
    Claim {
        id: format!("{item}/{claim}"),
        statement: statement.to_owned(),
        value: 0.0,
        interval: [0.0; 2],
        sampled: false,
        seeds: None,
        side: Side::AtMost,
        bound: 0.0,
        best: None,
        comparison: None,
        expected: true,
        evidence: format!("data/{item}/{table}.csv"),
        verdict: Verdict::Undecided,
    }
}

/// `value <= bound` is expected of a computed value.
pub fn at_most(place: Place<'_>, statement: &str, value: f64, bound: f64) -> Claim {
    let interval = [value; 2];
    Claim { value, interval, bound, ..claim(place, statement) }.judged()
}

/// `value >= bound` is expected of a computed value.
pub fn at_least(place: Place<'_>, statement: &str, value: f64, bound: f64) -> Claim {
    Claim { side: Side::AtLeast, ..at_most(place, statement, value, bound) }.judged()
}

/// The claim of a sampled value.
pub fn sampled(claim: Claim, interval: [f64; 2]) -> Claim {
    Claim { interval, sampled: true, ..claim }.judged()
}

/// What is expected of an estimate over seeds, or over other units that are drawn anew; fewer than six are not judged.
pub fn over_seeds(
    place: Place<'_>,
    statement: &str,
    estimate: Interval,
    side: Side,
    bound: f64,
) -> Claim {
    let (value, interval, seeds) = (estimate.mean, estimate.ends(), Some(estimate.n));
    Claim { value, interval, seeds, sampled: true, side, bound, ..claim(place, statement) }.judged()
}

/// That a setting is better than plain: under test, not expected.
pub fn compared(place: Place<'_>, statement: &str, found: &Comparison) -> Claim {
    let plain = over_seeds(place, statement, found.difference, Side::AtMost, 0.0);
    Claim { comparison: Some(found.evidence), expected: false, ..plain }.judged()
}

/// `|measured / closed - 1| <= bound` is expected of the worst of several measurements, each with its
/// standard error; the interval ends at the largest upper end of all.
pub fn agree(
    place: Place<'_>,
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

/// `value <= bound` is under test, with its interval.
pub fn tested(
    place: Place<'_>,
    statement: &str,
    value: f64,
    interval: [f64; 2],
    bound: f64,
) -> Claim {
    let plain = claim(place, statement);
    Claim { value, interval, sampled: true, bound, expected: false, ..plain }.judged()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_measurement_gives_value_and_interval() {
        let one = |value, error| Measurement { value, error, closed: 2.0 };
        let place = Place { item: "i", claim: "c", table: "t" };
        let claim = agree(place, "s", [one(2.02, 0.0), one(1.96, 0.01)], 0.05);
        assert_eq!((claim.id.as_str(), claim.evidence.as_str()), ("i/c", "data/i/t.csv"));
        assert!((claim.value - 0.02).abs() < 1e-12);
        assert!((claim.interval[1] - 0.0298).abs() < 1e-4 && claim.interval[0] > 0.01);
        let nan = agree(place, "s", [one(f64::NAN, 0.0), one(2.0, 0.0)], 0.05);
        assert!(nan.breaks());
    }
}
