//! Claims of a figure.

use super::Run;
use super::settings::{Floor, Settings};
use crate::cells::equivalence;
use anyhow::Context as _;
use artifact::claim::{Claim, Measurement, Place, agree, at_most, tested};
use artifact::statistics::{
    bootstrap,
    comparison::{Comparison, Differences, compare},
};
use artifact::table::Table;
use icl_numerics::largest;

/// Every setting against plain, seed by seed.
pub(super) fn comparisons(id: &str, runs: &[Run]) -> anyhow::Result<Vec<Comparison>> {
    let plain = &runs.first().context("plain is missing")?.finals;
    let differences = |run: &Run| Differences {
        name: run.setting.clone(),
        values: run.finals.iter().zip(plain).map(|(a, b)| a - b).collect(),
    };
    let all: Vec<Differences> = runs[1..].iter().map(differences).collect();
    Ok(compare(&all, &format!("comparison/{id}"))?)
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

pub(super) fn floor_claim(
    id: &str,
    settings: &Settings,
    runs: &[Run],
) -> anyhow::Result<Vec<Claim>> {
    let Floor { relative_loss, factor, expected } = settings.floor;
    if relative_loss == 0.0 {
        return Ok(Vec::new());
    }
    let finals = &runs.first().context("plain is missing")?.finals;
    let interval = bootstrap::mean(finals, &format!("floor/{id}"))?;
    let statement = format!(
        "Plain reaches {factor} x {relative_loss} of E[s^2], the best of a restricted family of its weights"
    );
    let bound = factor * relative_loss;
    let ends = [interval.lower, interval.upper];
    let claim = tested(
        Place { item: id, claim: "floor", table: "finals" },
        &statement,
        interval.mean,
        ends,
        bound,
    );
    Ok(vec![Claim { expected, ..claim }])
}

/// "Better than plain" is under test, not expected.
pub(super) fn comparison_claims(id: &str, comparisons: &[Comparison]) -> Vec<Claim> {
    let one = |one: &Comparison| {
        let statement = format!("{} has a lower test loss than plain", one.name);
        let ends = [one.lower, one.upper];
        tested(
            Place { item: id, claim: &one.name, table: "comparison" },
            &statement,
            one.mean,
            ends,
            0.0,
        )
    };
    comparisons.iter().map(one).collect()
}
