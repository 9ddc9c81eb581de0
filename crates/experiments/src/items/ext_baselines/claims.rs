//! What the item claims, from its tables alone.

use super::layers::{Layer, Reference};
use super::method::Method;
use super::tuning::Location;
use super::{ITEM, Settings, blocks_of};
use crate::named::Named as _;
use anyhow::Context as _;
use artifact::claim::{Claim, Measurement, Place, Side, agree, at_most, over_seeds};
use artifact::statistics::{interval, standard_error};
use artifact::table::Table;
use icl_numerics::{largest, order};

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// Closed forms against Monte Carlo, for every number of demonstrations.
pub(super) fn closed_forms(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let closed = table.floats("closed_form")?;
    let measurements = |method: Method| -> anyhow::Result<Vec<Measurement>> {
        let mut all = Vec::new();
        for n in &settings.n_demos {
            let (rows, [errors, labels]) = blocks_of(table, method.name(), *n)?;
            let Some(first) = rows.first() else { continue };
            let value = order::sum(&errors) / order::sum(&labels);
            // the ratio's error by the delta method
            let rest: Vec<f64> = errors.iter().zip(&labels).map(|(e, l)| e - value * l).collect();
            let scale = order::mean(&labels).unwrap_or(f64::NAN);
            let error = standard_error(&rest) / scale;
            all.push(Measurement { value, error, closed: closed[*first] });
        }
        Ok(all)
    };
    let table = "closed_forms";
    let (step, averaging) = (measurements(Method::OneStep)?, measurements(Method::Averaging)?);
    let squares = measurements(Method::LeastSquares)?;
    Ok(vec![
        agree(
            place("gd-closed-form", table),
            "One gradient step, every N: closed form against Monte Carlo",
            step,
            0.01,
        ),
        agree(
            place("averaging-closed-form", table),
            "Averaging, every N: closed form against Monte Carlo",
            averaging,
            0.02,
        ),
        agree(
            place("ols-curve", table),
            "Least squares against (d - N)/d at every N below d",
            squares,
            0.02,
        ),
    ])
}

/// Least squares is exact from `N = d` on.
pub(super) fn exact(settings: &Settings, blocks: &Table) -> anyhow::Result<Claim> {
    let mut losses = Vec::new();
    for n in settings.n_demos.iter().filter(|n| **n >= settings.d) {
        let (_, [errors, labels]) = blocks_of(blocks, Method::LeastSquares.name(), *n)?;
        losses.push(order::sum(&errors) / order::sum(&labels));
    }
    let statement = "Loss of least squares at every N from d on";
    Ok(at_most(place("ols-exact", "blocks"), statement, largest::value(losses), 1e-10))
}

/// No grid ends where the loss still falls.
pub(super) fn grids(choices: &Table) -> anyhow::Result<Claim> {
    let edge = Location::Edge.name();
    let edges = choices.texts("location")?.iter().filter(|location| *location == edge).count();
    let statement = "Chosen settings at an end of their grid that is no natural limit (k = 1 or N, no ridge, no shrinking)";
    Ok(at_most(place("grids-wide-enough", "choices"), statement, edges as f64, 0.0))
}

/// A trained layer over a reference on the same prompts.
struct Comparison {
    name: &'static str,
    words: &'static str,
    layer: Layer,
    reference: Reference,
    side: Side,
    bound: f64,
}

const COMPARISONS: [Comparison; 5] = [
    Comparison {
        name: "linear-is-gd",
        words: "Linear attention over one gradient step",
        layer: Layer::Linear,
        reference: Reference::Step,
        side: Side::AtMost,
        bound: 1.02,
    },
    Comparison {
        name: "two-heads-floor",
        words: "Two softmax heads over the floor of two heads",
        layer: Layer::TwoHeads,
        reference: Reference::TwoHeads,
        side: Side::AtMost,
        bound: 1.03,
    },
    Comparison {
        name: "two-heads-step",
        words: "Two softmax heads over one gradient step",
        layer: Layer::TwoHeads,
        reference: Reference::Step,
        side: Side::AtMost,
        bound: 1.05,
    },
    Comparison {
        name: "one-head-floor",
        words: "One softmax head over the floor of one head",
        layer: Layer::OneHead,
        reference: Reference::OneHead,
        side: Side::AtMost,
        bound: 1.03,
    },
    Comparison {
        name: "one-head-step",
        words: "One softmax head over one gradient step: far from it",
        layer: Layer::OneHead,
        reference: Reference::Step,
        side: Side::AtLeast,
        bound: 1.2,
    },
];

/// Every comparison at every number of demonstrations of which the item speaks.
pub(super) fn layers(
    settings: &Settings,
    seeds: &Table,
    references: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for comparison in &COMPARISONS {
        for n in &settings.n_claims {
            let reference = value(references, comparison.reference, *n)?;
            let ratios: Vec<f64> = super::losses_of(seeds, comparison.layer.name(), *n)?
                .iter()
                .map(|loss| loss / reference)
                .collect();
            claims.push(over_seeds(
                place(&format!("{}-{n}", comparison.name), "seeds"),
                &format!("{} on the same prompts, N = {n}", comparison.words),
                interval::mean(&ratios)?,
                comparison.side,
                comparison.bound,
            ));
        }
    }
    Ok(claims)
}

/// Loss of a reference on the prompts on which trained layers are judged.
fn value(references: &Table, reference: Reference, n: usize) -> anyhow::Result<f64> {
    let (names, n_demos) = (references.texts("reference")?, references.integers("n_demos")?);
    let row = (0..names.len()).find(|i| names[*i] == reference.name() && n_demos[*i] == n as i64);
    let row = row.with_context(|| format!("references: no {} at N = {n}", reference.name()))?;
    Ok(references.floats("on_prompts")?[row])
}
