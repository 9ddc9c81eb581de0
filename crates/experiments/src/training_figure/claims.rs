//! Claims of a figure.

use super::Run;
use super::settings::Settings;
use crate::cells::equivalence;
use crate::cells::references::References;
use anyhow::Context as _;
use artifact::claim::{Claim, Measurement, Place, Side, agree, at_most, compared, over_seeds};
use artifact::statistics::comparison::{Comparison, Differences, FEWEST, compare};
use artifact::statistics::interval;
use artifact::table::Table;
use icl_numerics::{largest, order};

/// Every setting against plain, seed by seed.
pub(super) fn comparisons(settings: &Settings, runs: &[Run]) -> anyhow::Result<Vec<Comparison>> {
    let plain = &runs.first().context("plain is missing")?.finals;
    let differences =
        |run: &Run| Differences::relative(&run.setting, &run.finals, plain, settings.margin);
    Ok(compare(&runs[1..].iter().map(differences).collect::<Vec<_>>())?)
}

pub(super) fn equivalence_claims(id: &str, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let names = table.texts("dual")?;
    let steps = table.integers("step")?;
    let last = steps.iter().max().copied().context("an empty equivalence curve")?;
    let (measured, closed) = (table.floats("mean_square")?, table.floats("closed_form")?);
    let errors = table.floats("standard_error")?;
    let relative = table.floats("largest_relative")?;
    let rows = || (0..names.len()).filter(|i| names[*i] == equivalence::EXACT);
    let curve = rows().filter(|i| steps[*i] < last).map(|i| Measurement {
        value: measured[i],
        error: errors[i],
        closed: closed[i],
    });
    let end = |name: &str| {
        let at_end = (0..names.len()).filter(|i| names[*i] == name && steps[*i] == last);
        largest::value(at_end.map(|i| relative[i]))
    };
    let mut claims = vec![
        agree(
            Place { item: id, claim: "closed-form", table: "equivalence" },
            "The exact dual's mean squared step curve deviates from its closed form by at most 3 %",
            curve,
            0.03,
        ),
        at_most(
            Place { item: id, claim: "exact-end", table: "equivalence" },
            "After the last step the exact dual equals the layer, relative to the output's norm",
            end(equivalence::EXACT),
            1e-12,
        ),
    ];
    if names.iter().any(|name| name == equivalence::FEATURES) {
        claims.push(at_most(
            Place { item: id, claim: "feature-end", table: "equivalence" },
            "After the last step the feature dual equals feature attention, relative to the output's norm",
            end(equivalence::FEATURES),
            1e-12,
        ));
    }
    Ok(claims)
}

/// What is expected of plain: more than a predictor without inputs, the floor where it is known, one optimum.
pub(super) fn plain_claims(
    id: &str,
    settings: &Settings,
    plain: &Run,
    references: &References,
) -> anyhow::Result<Vec<Claim>> {
    let over = |reference: f64| {
        interval::mean(&plain.finals.iter().map(|loss| loss / reference).collect::<Vec<f64>>())
    };
    let place = |claim| Place { item: id, claim, table: "finals" };
    let (name, best) = references.best_trivial()?;
    let beats = format!(
        "Plain's loss is at most {LEARNED} of that of the best predictor without inputs ({name}), on the same prompts"
    );
    let mut claims = vec![over_seeds(place("learned"), &beats, over(best)?, Side::AtMost, LEARNED)];
    if let Some(floor) = references.floor() {
        let reaches = format!(
            "Plain's loss is at most {} times attention's floor on the same prompts",
            settings.floor
        );
        claims.push(over_seeds(
            place("floor"),
            &reaches,
            over(floor)?,
            Side::AtMost,
            settings.floor,
        ));
    }
    let judged = settings.seeds >= FEWEST as u64;
    claims.iter_mut().for_each(|claim| claim.expected = judged);
    if settings.transformer.is_none() {
        claims.push(one_optimum(place("one-optimum"), settings, &plain.finals));
    }
    Ok(claims)
}

/// From the same side of the start all seeds find the same optimum. Random features differ from seed to seed, and with
/// them the best loss: then it is tested, not expected.
fn one_optimum(place: Place<'_>, settings: &Settings, finals: &[f64]) -> Claim {
    let [least, most] =
        [largest::least(finals.iter().copied()), largest::value(finals.iter().copied())];
    let statement = "All seeds of plain end within 1 % of each other";
    let expected = settings.seeds >= FEWEST as u64 && settings.d_r == 0;
    Claim { expected, ..at_most(place, statement, most / least - 1.0, 0.01) }
}

/// Share of the best predictor without inputs below which a layer has learned from its prompt.
pub(super) const LEARNED: f64 = 0.95;

/// Whether the last quarter of training still changes a setting's mean loss.
pub(super) fn settled(id: &str, runs: &[Run]) -> Claim {
    let change = |run: &Run| {
        let last = run.steps.last().copied().unwrap_or(0);
        let at = run.steps.iter().position(|step| 4 * step >= 3 * last).unwrap_or(0);
        let mean =
            |i: usize| order::sum(&run.losses.iter().map(|row| row[i]).collect::<Vec<f64>>());
        (mean(at) / mean(run.steps.len() - 1) - 1.0).abs()
    };
    let claim = at_most(
        Place { item: id, claim: "settled", table: "training" },
        "The last quarter of training changes no setting's mean loss by more than 1 %",
        largest::value(runs.iter().map(change)),
        0.01,
    );
    Claim { expected: false, ..claim }
}

/// "Better than plain" is under test, not expected.
pub(super) fn comparison_claims(id: &str, comparisons: &[Comparison]) -> Vec<Claim> {
    let one = |one: &Comparison| {
        let statement = format!("{} has a lower test loss than plain", one.name);
        compared(Place { item: id, claim: &one.name, table: "comparison" }, &statement, one)
    };
    comparisons.iter().map(one).collect()
}
