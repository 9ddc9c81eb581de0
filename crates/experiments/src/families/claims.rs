//! Short ways to state a claim.

use artifact::claim::{Claim, Side, Verdict};

fn claim(id: &str, name: &str, statement: &str, evidence: &str) -> Claim {
    Claim {
        id: format!("{id}/{name}"),
        statement: statement.to_owned(),
        value: 0.0,
        interval: None,
        side: Side::AtMost,
        bound: 0.0,
        expected: true,
        evidence: format!("data/{id}/{evidence}.csv"),
        verdict: Verdict::Inconclusive,
    }
}

/// `value <= bound` is expected; `place` is item, claim and table.
pub(crate) fn at_most(place: [&str; 3], statement: &str, value: f64, bound: f64) -> Claim {
    let [id, name, evidence] = place;
    Claim { value, bound, ..claim(id, name, statement, evidence) }.judged()
}

/// `value >= bound` is expected.
pub(crate) fn at_least(place: [&str; 3], statement: &str, value: f64, bound: f64) -> Claim {
    let [id, name, evidence] = place;
    Claim { value, bound, side: Side::AtLeast, ..claim(id, name, statement, evidence) }.judged()
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
    Claim { value, bound, interval: Some(interval), expected: false, ..plain }.judged()
}
