//! The checks, and their claims.

use super::ITEM;
use artifact::claim::{Claim, Place, at_most};
use artifact::table::Table;
use icl_numerics::largest;

/// A check: what it is in the table and in the figure, what it says, and the largest error that it allows.
pub(super) struct Check {
    name: &'static str,
    pub(super) label: &'static str,
    statement: &'static str,
    pub(super) tolerance: f64,
}

const fn check(
    name: &'static str,
    label: &'static str,
    statement: &'static str,
    tolerance: f64,
) -> Check {
    Check { name, label, statement, tolerance }
}

/// The checks in the order of the figure. Central differences in `f64` are good to some 1e-9, sums to some 1e-15.
pub(super) const CHECKS: [Check; 8] = [
    check("plain", "plain loss", "Step against central differences of the plain loss", 1e-7),
    check(
        "regularised",
        "regularised loss",
        "Step against central differences of the regularised loss",
        1e-7,
    ),
    check(
        "augmented",
        "augmented loss",
        "Step against central differences of the augmented loss",
        1e-7,
    ),
    check(
        "negative",
        "negative loss",
        "Step against central differences of the negative loss",
        1e-7,
    ),
    check(
        "elsewhere",
        "gradient at another W",
        "Central differences at another W against the stated gradient",
        1e-7,
    ),
    check("linearity", "linear in W", "Deviation of the loss from linearity in W", 1e-12),
    check(
        "order",
        "any order of steps",
        "Final prediction in a shuffled order against that in order",
        1e-12,
    ),
    check(
        "unbounded",
        "every epoch lowers the loss alike",
        "Decrease of the loss in an epoch against that in the first: it never slows down",
        1e-10,
    ),
];

impl Check {
    /// The error found on every prompt.
    pub(super) fn errors(&self, prompts: &[&Table]) -> anyhow::Result<Vec<f64>> {
        let mut errors = Vec::new();
        for prompt in prompts {
            if self.name == "unbounded" {
                errors.push(uneven(&values(prompt, "loss")?));
            } else {
                errors.extend(values(prompt, self.name)?);
            }
        }
        Ok(errors)
    }
}

/// The claim of every check.
pub(super) fn claims(prompts: &[&Table]) -> anyhow::Result<Vec<Claim>> {
    let claim = |check: &Check| -> anyhow::Result<Claim> {
        let place = Place { item: ITEM.id, claim: check.name, table: "checks" };
        let found = largest::value(check.errors(prompts)?);
        Ok(at_most(place, check.statement, found, check.tolerance))
    };
    CHECKS.iter().map(claim).collect()
}

/// The values of a check on one prompt, epoch by epoch.
fn values(prompt: &Table, name: &str) -> anyhow::Result<Vec<f64>> {
    let (checks, values) = (prompt.texts("check")?, prompt.floats("value")?);
    let rows = checks.into_iter().zip(values).filter(|(check, _)| check == name);
    Ok(rows.map(|(_, value)| value).collect())
}

/// Largest deviation of an epoch's decrease from the first one's, relative to it.
fn uneven(curve: &[f64]) -> f64 {
    let steps: Vec<f64> = curve.windows(2).map(|pair| pair[0] - pair[1]).collect();
    let first = steps.first().copied().unwrap_or(0.0);
    // a loss that rises would not be unbounded below
    if first <= 0.0 {
        return f64::INFINITY;
    }
    largest::value(steps.iter().map(|step| (step / first - 1.0).abs()))
}
