//! Trained attention beside what needs no training: error against the number of demonstrations.

mod claims;
mod drawing;
mod grid;
mod layers;
mod method;
mod predictors;
mod tuning;

use crate::cells::training;
use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::settings::SettingsFile;
use artifact::cell::Results;
use artifact::statistics::{Interval, interval};
use artifact::table::Table;
use icl_model::adam::Course;
use icl_model::settings::Start;
use layers::{Layer, Reference};
use method::{Grids, Method};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-baselines",
    paper: "beyond the paper",
    claim: "At N = 10, 20 and 40 one softmax head is far from one gradient step, two come within 5 % of it, linear \
         attention within 2 %; least squares is the ceiling",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_demos: Vec<usize>,
    n_claims: Vec<usize>,
    problems: usize,
    blocks: usize,
    tuning_problems: usize,
    grids: Grids,
    closed_form_problems: usize,
    floor_prompts: u64,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    schedule: Course,
    initial_sd: f64,
    start: Start,
    n_final: usize,
    seeds: u64,
    expected: bool,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    check(file, &settings)?;
    let mut cells = Vec::new();
    for n in &settings.n_demos {
        cells.push(predictors::cell(&settings, *n));
        cells.push(predictors::closed_cell(&settings, *n));
        for layer in Layer::ALL {
            for seed in 0..settings.seeds {
                let cell = layer.cell(&settings, *n, seed, context.device);
                cells.push(cell.map_err(|error| {
                    file.refuse("training", &error.to_string(), "settings in range")
                })?);
            }
        }
    }
    for n in &settings.n_claims {
        let references = Reference::ALL.iter();
        cells.extend(references.map(|one| one.cell(&settings, *n, context.device)));
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn check(file: &SettingsFile, settings: &Settings) -> anyhow::Result<()> {
    let Settings { n_demos, n_claims, blocks, .. } = settings;
    if !n_demos.iter().all(|n| (1..=512).contains(n)) {
        return Err(file.refuse("n_demos", &format!("{n_demos:?}"), "1 to 512"));
    }
    if !n_claims.iter().all(|n| n_demos.contains(n)) {
        return Err(file.refuse("n_claims", &format!("{n_claims:?}"), "numbers of n_demos"));
    }
    if !(1..=128).contains(&settings.d) {
        return Err(file.refuse("d", &settings.d.to_string(), "1 to 128"));
    }
    if *blocks < 2 || settings.tuning_problems == 0 {
        let found = format!("{blocks}, {}", settings.tuning_problems);
        return Err(file.refuse("blocks, tuning_problems", &found, "at least 2 and 1"));
    }
    for (name, problems) in
        [("problems", settings.problems), ("closed_form_problems", settings.closed_form_problems)]
    {
        if problems == 0 || !problems.is_multiple_of(*blocks) {
            return Err(file.refuse(name, &problems.to_string(), "a multiple of blocks"));
        }
    }
    for (name, grid) in settings.grids.all() {
        if let Some((found, expected)) = grid.fault() {
            return Err(file.refuse(&format!("grids.{name}"), &found, expected));
        }
    }
    Ok(())
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let n_demos = || settings.n_demos.iter().copied();
    let tuned = results.each(n_demos().map(predictors::name))?;
    let blocks = predictors::blocks(&tuned)?;
    let choices = predictors::choices(settings, &tuned)?;
    let closed = results.each(n_demos().map(predictors::closed_name))?;
    let closed = Table::stack("closed_forms", closed)?;
    let seeds = seeds(settings, results)?;
    let known = settings.n_claims.iter();
    let known = known.flat_map(|n| Reference::ALL.iter().map(|one| one.cell_name(*n)));
    let references = Table::stack("references", results.each(known)?)?;
    let curves = curves(settings, &blocks, &seeds)?;
    let mut claims = claims::closed_forms(settings, &closed)?;
    claims.extend([claims::exact(settings, &blocks)?, claims::grids(&choices)?]);
    claims.extend(claims::layers(settings, &seeds, &references)?);
    claims.iter_mut().for_each(|claim| claim.expected = settings.expected);
    let figure = drawing::figure(settings, &curves, &references)?;
    let tables = [curves, references, seeds, blocks, choices, closed];
    Ok(Outputs {
        tables: tables.into_iter().map(|table| (table, BTreeMap::new())).collect(),
        figures: vec![(figure, vec!["curves", "references"])],
        claims,
    })
}

/// Final losses of all trained layers, one row for every seed.
fn seeds(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let (mut methods, mut n_demos, mut seeds, mut losses) = (vec![], vec![], vec![], vec![]);
    for n in &settings.n_demos {
        for layer in Layer::ALL {
            let cells = (0..settings.seeds).map(|seed| layer.cell_name(*n, seed));
            losses.extend(training::finals(&results.each(cells)?)?);
            for seed in 0..settings.seeds {
                methods.push(layer.name());
                n_demos.push(*n as i64);
                seeds.push(seed as i64);
            }
        }
    }
    Ok(Table::builder("seeds")
        .texts("method", &methods)
        .integers("n_demos", n_demos)
        .integers("seed", seeds)
        .floats("relative_loss", losses)
        .build()?)
}

/// Means with intervals: of methods over blocks of problems, of layers over seeds.
fn curves(settings: &Settings, blocks: &Table, seeds: &Table) -> anyhow::Result<Table> {
    let (mut methods, mut n_demos) = (vec![], vec![]);
    let mut columns: [Vec<f64>; 3] = Default::default();
    for n in &settings.n_demos {
        let mut push = |name: &'static str, interval: Interval| {
            methods.push(name);
            n_demos.push(*n as i64);
            let values = [interval.mean, interval.lower, interval.upper];
            columns.iter_mut().zip(values).for_each(|(column, x)| column.push(x));
        };
        for method in Method::ALL {
            let [errors, labels] = blocks_of(blocks, method.name(), *n)?.1;
            push(method.name(), interval::ratio(&errors, &labels)?);
        }
        for layer in Layer::ALL {
            push(layer.name(), interval::mean(&losses_of(seeds, layer.name(), *n)?)?);
        }
    }
    let [mean, lower, upper] = columns;
    Ok(Table::builder("curves")
        .texts("method", &methods)
        .integers("n_demos", n_demos)
        .floats("relative_loss", mean)
        .floats("lower", lower)
        .floats("upper", upper)
        .build()?)
}

/// Rows of a method at a number of demonstrations.
fn rows_of(table: &Table, method: &str, n: usize) -> anyhow::Result<Vec<usize>> {
    let (methods, n_demos) = (table.texts("method")?, table.integers("n_demos")?);
    Ok((0..methods.len()).filter(|i| methods[*i] == method && n_demos[*i] == n as i64).collect())
}

/// Rows, and squared errors and labels by block.
fn blocks_of(table: &Table, method: &str, n: usize) -> anyhow::Result<(Vec<usize>, [Vec<f64>; 2])> {
    let rows = rows_of(table, method, n)?;
    let column = |name: &str| -> anyhow::Result<Vec<f64>> {
        let values = table.floats(name)?;
        Ok(rows.iter().map(|i| values[*i]).collect())
    };
    let columns = [column("squared_error")?, column("squared_label")?];
    Ok((rows, columns))
}

/// Losses of a layer over seeds.
fn losses_of(seeds: &Table, layer: &str, n: usize) -> anyhow::Result<Vec<f64>> {
    let losses = seeds.floats("relative_loss")?;
    Ok(rows_of(seeds, layer, n)?.iter().map(|i| losses[*i]).collect())
}
