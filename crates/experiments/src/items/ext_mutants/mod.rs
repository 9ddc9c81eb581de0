//! Would the checks notice a wrong implementation? Mutants of the dual on features against our checks, and against
//! published tests' tolerances on those tests' own sizes; mutants of the modified losses, of a layer's activation
//! pattern and of the step curve against their identities.

mod drawing;
mod identity;
mod mutant;
mod published;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Place, at_least, at_most, sampled};
use artifact::statistics::share_interval;
use artifact::table::{ColumnType, Table};
use icl_numerics::largest;
use mutant::{MUTANTS, Mutant};
use published::PUBLISHED;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-mutants",
    paper: "beyond the paper",
    claim: "Every mutant fails one of our checks; published tolerances let several pass",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    kernel_draws: usize,
    redraws: usize,
    long_redraws: usize,
    long_tokens: usize,
    expected: bool,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let Settings { kernel_draws, redraws, long_redraws, long_tokens, .. } = settings;
    let ranges = [
        ("kernel_draws", kernel_draws, 100, 1 << 24),
        ("redraws", redraws, 1, 10_000),
        ("long_redraws", long_redraws, 1, 10_000),
        ("long_tokens", long_tokens, 1, 1 << 16),
    ];
    for (field, found, low, high) in ranges {
        if !(low..=high).contains(&found) {
            return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
        }
    }
    let mut cells: Vec<Cell> = MUTANTS.iter().map(|mutant| cell(&settings, *mutant)).collect();
    cells.push(identities_cell());
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// The table of identities, and its cell.
const IDENTITIES: &str = "identities";

fn identities_cell() -> Cell {
    Cell::new(
        IDENTITIES.to_owned(),
        0.1,
        json!({ "kind": "mutant-identities/1" }),
        vec![
            ("subject".into(), ColumnType::Text),
            ("mutant".into(), ColumnType::Text),
            ("value".into(), ColumnType::Float),
            ("bound".into(), ColumnType::Float),
        ],
        move |_| {
            let all = identity::identities()?;
            let table = Table::builder(IDENTITIES)
                .texts("subject", &all.iter().map(|one| one.subject).collect::<Vec<_>>())
                .texts("mutant", &all.iter().map(|one| one.mutant).collect::<Vec<_>>())
                .floats("value", all.iter().map(|one| one.value).collect())
                .floats("bound", all.iter().map(|one| one.bound).collect())
                .build()?;
            anyhow::Ok(table)
        },
    )
}

fn cell(settings: &Settings, mutant: Mutant) -> Cell {
    let settings = settings.clone();
    Cell::new(
        mutant.name(),
        (settings.long_redraws * settings.long_tokens) as f64 / 1e4,
        json!({ "kind": "mutant/2", "settings": settings, "mutant": mutant.name() }),
        vec![
            ("mutant".into(), ColumnType::Text),
            ("suite".into(), ColumnType::Text),
            ("check".into(), ColumnType::Text),
            ("bound".into(), ColumnType::Float),
            ("worst".into(), ColumnType::Float),
            ("not_finite".into(), ColumnType::Integer),
            ("passes".into(), ColumnType::Float),
        ],
        move |_| measure(&settings, mutant),
    )
}

const OURS: &str = "ours";

fn measure(settings: &Settings, mutant: Mutant) -> anyhow::Result<Table> {
    let mut rows: Vec<(&str, &str, f64, Vec<f64>)> = mutant::checks(mutant, settings.kernel_draws)?
        .into_iter()
        .map(|check| (OURS, check.name, check.bound, vec![check.value]))
        .collect();
    for test in &PUBLISHED {
        let (redraws, tokens) = match test.tokens {
            published::Tokens::Long => (settings.long_redraws, settings.long_tokens),
            published::Tokens::Fixed(n) => (settings.redraws, n),
        };
        let errors =
            (0..redraws).map(|i| test.error(mutant, tokens, i as u64)).collect::<Result<_, _>>()?;
        rows.push(("published", test.name, test.bound, errors));
    }
    let share = |bound: f64, errors: &[f64]| {
        errors.iter().filter(|error| **error <= bound).count() as f64 / errors.len() as f64
    };
    // a table holds finite numbers: errors that are not are counted, and none of them passes
    let finite = |errors: &[f64]| -> Vec<f64> {
        errors.iter().copied().filter(|error| error.is_finite()).collect()
    };
    let worst = |errors: &[f64]| match finite(errors) {
        none if none.is_empty() => 0.0,
        finite => largest::value(finite),
    };
    let not_finite = |errors: &[f64]| (errors.len() - finite(errors).len()) as i64;
    let table = Table::builder("mutants")
        .texts("mutant", &vec![mutant.name(); rows.len()])
        .texts("suite", &rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .texts("check", &rows.iter().map(|row| row.1).collect::<Vec<_>>())
        .floats("bound", rows.iter().map(|row| row.2).collect())
        .floats("worst", rows.iter().map(|row| worst(&row.3)).collect())
        .integers("not_finite", rows.iter().map(|row| not_finite(&row.3)).collect())
        .floats("passes", rows.iter().map(|row| share(row.2, &row.3)).collect())
        .build()?;
    Ok(table)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let cells = MUTANTS.iter().map(|mutant| mutant.name().to_owned());
    let table = Table::stack("mutants", results.each(cells)?)?;
    let identities = results.get(IDENTITIES)?.clone();
    let (claims, figure) = (claims(settings, &table, &identities)?, drawing::figure(&table)?);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new()), (identities, BTreeMap::new())],
        figures: vec![(figure, vec!["mutants"])],
        claims,
    })
}

fn claims(settings: &Settings, table: &Table, identities: &Table) -> anyhow::Result<Vec<Claim>> {
    let place = |claim, table| Place { item: ITEM.id, claim, table };
    let [alive, control] = ours(table)?;
    let [alive_identities, control_identity] = of_identities(identities)?;
    let mut claims = vec![
        at_most(
            place("killed", "mutants"),
            "Mutants of the dual on features that pass all our checks",
            alive,
            0.0,
        ),
        at_most(
            place("killed-by-identity", IDENTITIES),
            "Mutants of modified losses, activation pattern and step curve that pass their identity",
            alive_identities,
            0.0,
        ),
        at_most(
            place("control", "mutants"),
            "Largest value of our checks over its bound for the unchanged dual",
            control,
            1.0,
        ),
        at_most(
            place("control-identity", IDENTITIES),
            "Largest value of an identity over its bound for the unchanged dual",
            control_identity,
            1.0,
        ),
    ];
    for (id, mutant, what) in [
        ("uniform-xformers", Mutant::Uniform, "uniform attention"),
        ("zero-xformers", Mutant::Zero, "a zero output"),
    ] {
        let statement =
            format!("Share of redraws in which {what} passes the tolerance of xformers");
        let share = published_share(table, mutant, "xformers mse")?;
        let claim = at_least(place(id, "mutants"), &statement, share, 0.9);
        let claim = sampled(claim, share_interval(share, settings.redraws)).with_best(1.0);
        claims.push(Claim { expected: settings.expected, ..claim });
    }
    Ok(claims)
}

/// Mutants that pass all our checks, and the control's largest value over its bound.
fn ours(table: &Table) -> anyhow::Result<[f64; 2]> {
    let (mutants, suites) = (table.texts("mutant")?, table.texts("suite")?);
    let (bounds, worst) = (table.floats("bound")?, table.floats("worst")?);
    let passes = table.floats("passes")?;
    let rows = |mutant: Mutant| {
        let own = move |i: &usize, mutants: &[String]| mutants[*i] == mutant.name();
        (0..passes.len()).filter(|i| own(i, &mutants) && suites[*i] == OURS).collect::<Vec<_>>()
    };
    let survives = |mutant: &&Mutant| {
        **mutant != Mutant::None && rows(**mutant).iter().all(|i| passes[*i] == 1.0)
    };
    let alive = MUTANTS.iter().filter(survives).count();
    let control = largest::value(rows(Mutant::None).iter().map(|i| worst[*i] / bounds[*i]));
    Ok([alive as f64, control])
}

/// Mutants that pass their identity, and the controls' largest value over the bound.
fn of_identities(table: &Table) -> anyhow::Result<[f64; 2]> {
    let (mutants, values) = (table.texts("mutant")?, table.floats("value")?);
    let bounds = table.floats("bound")?;
    let is_control = |i: &usize| mutants[*i] == identity::CONTROL;
    let rows = || 0..values.len();
    let alive = rows().filter(|i| !is_control(i) && values[*i] <= bounds[*i]).count();
    let control = largest::value(rows().filter(is_control).map(|i| values[i] / bounds[i]));
    Ok([alive as f64, control])
}

/// Share of redraws in which a mutant passes a published tolerance.
fn published_share(table: &Table, mutant: Mutant, check: &str) -> anyhow::Result<f64> {
    let (mutants, checks) = (table.texts("mutant")?, table.texts("check")?);
    let passes = table.floats("passes")?;
    let rows = (0..passes.len()).filter(|i| mutants[*i] == mutant.name() && checks[*i] == check);
    Ok(largest::least(rows.map(|i| passes[i])))
}
