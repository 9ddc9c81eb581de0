//! Would the checks notice a wrong implementation? Mutants of the dual against our checks, and against
//! published tests' tolerances on those tests' own sizes.

mod mutant;
mod published;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Claim, Place, at_least, at_most, sampled};
use artifact::figure::{Figure, HeatPanel, Panel};
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
    claim: "Every mutant of the dual fails our checks; published tolerances let several pass",
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
    let cells = MUTANTS.iter().map(|mutant| cell(&settings, *mutant)).collect();
    Ok(Plan::new(cells, move |results| assemble(&settings, &results.all())))
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

fn assemble(settings: &Settings, results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("mutants", results.iter().copied())?;
    let (claims, figure) = (claims(settings, &table)?, figure(&table)?);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["mutants"])],
        claims,
    })
}

fn claims(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let (mutants, suites) = (table.texts("mutant")?, table.texts("suite")?);
    let (checks, passes) = (table.texts("check")?, table.floats("passes")?);
    // smallest share over a mutant's rows in a suite, or of one check
    let share = |mutant: Mutant, suite: &str, check: Option<&str>| {
        let rows = (0..passes.len()).filter(|i| {
            mutants[*i] == mutant.name()
                && suites[*i] == suite
                && check.is_none_or(|check| checks[*i] == check)
        });
        largest::least(rows.map(|i| passes[i]))
    };
    let others = MUTANTS.iter().filter(|mutant| **mutant != Mutant::None);
    let alive = others.filter(|mutant| share(**mutant, OURS, None) == 1.0).count();
    let control = share(Mutant::None, OURS, None);
    let passing = |mutant: Mutant, check: &str| share(mutant, "published", Some(check));
    let place = |name| Place { item: ITEM.id, claim: name, table: "mutants" };
    let share = passing(Mutant::Uniform, "xformers mse");
    let uniform = at_least(
        place("uniform-xformers"),
        "Share of redraws in which uniform attention passes the tolerance of xformers",
        share,
        0.9,
    );
    let uniform = sampled(uniform, share_interval(share, settings.redraws));
    Ok(vec![
        at_most(place("killed"), "Mutants that pass all our checks", alive as f64, 0.0),
        at_least(
            place("control"),
            "Share of our checks' runs that the unchanged dual passes",
            control,
            1.0,
        ),
        Claim { expected: settings.expected, ..uniform },
        at_least(
            place("zero-imp"),
            "Share of redraws in which a zero output passes the tolerance of imp",
            passing(Mutant::Zero, "imp relative"),
            1.0,
        ),
        at_least(
            place("constant-causal"),
            "Share of redraws in which constant features pass Performer's causal test",
            passing(Mutant::ConstantFeatures, "performer causal"),
            1.0,
        ),
    ])
}

fn figure(table: &Table) -> anyhow::Result<Figure> {
    let checks = table.texts("check")?;
    let count = checks.len() / MUTANTS.len();
    let panel = HeatPanel {
        title: "share of redraws in which a mutant passes a check".into(),
        x_label: "the first three checks are ours, the others are published tolerances".into(),
        y_label: String::new(),
        columns: count,
        entries: table.floats("passes")?,
        range: [0.0, 1.0],
        names: [
            MUTANTS.iter().map(|mutant| mutant.name().to_owned()).collect(),
            checks[..count].to_vec(),
        ],
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        panel_height: 270.0,
        panels: vec![Panel::Heat(panel)],
        caption: "ext-mutants. Mutants of the dual (rows; `none` is the unchanged dual) against our checks and \
                  against tolerances of published tests of attention by random features, on those tests' own \
                  sizes with new draws: the share that passes. A mutant is killed if it fails any of our checks. All rows \
                  use positive features; the first two published tests were written for trigonometric ones."
            .into(),
    })
}
