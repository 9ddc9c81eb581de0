//! The step size that one layer of linear attention learns, against its closed form.

mod drawing;

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::regression::{Entries, best_step, one_step_loss};
use crate::settings::SettingsFile;
use crate::views::attention_layer::AttentionLayer;
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Place, Side, over_seeds};
use artifact::statistics::{Interval, interval};
use artifact::table::{ColumnType, Table};
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::kernel::Kernel;
use icl_model::objective::Set;
use icl_model::prompt::{Inputs, PromptShape};
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-linear-step",
    paper: "beyond the paper",
    claim: "One layer of linear attention learns the gradient step of size N/(N + d + 1)",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_demos: Vec<usize>,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    initial_sd: f64,
    n_final: usize,
    seeds: u64,
    expected: bool,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let mut cells = Vec::new();
    for n_demos in &settings.n_demos {
        for seed in 0..settings.seeds {
            let train = TrainSettings {
                prompt: PromptShape { n_demos: *n_demos, d_t: settings.d, d_s: 1 },
                inputs: Inputs::Normal,
                kernel: Kernel::Linear,
                steps: settings.steps,
                validate_every: settings.steps.max(1),
                seed,
                batch: settings.batch,
                adam: AdamSettings {
                    learning_rate: settings.learning_rate,
                    ..AdamSettings::default()
                },
                init_std: settings.initial_sd,
                ..TrainSettings::base()
            };
            train.check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
            cells.push(cell(train, settings.n_final, context.device));
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Name of a trained layer's cell.
fn name(n_demos: usize, seed: u64) -> String {
    format!("N = {n_demos}/{seed}")
}

fn cell(train: TrainSettings, n_final: usize, device: Device) -> Cell {
    let floats = ["step_size", "deviation", "relative_loss"];
    let mut schema: Vec<_> = ["n_demos", "seed"]
        .map(|name| (name.to_owned(), ColumnType::Integer))
        .into_iter()
        .collect();
    schema.extend(floats.map(|name| (name.to_owned(), ColumnType::Float)));
    Cell::new(
        name(train.prompt.n_demos, train.seed),
        crate::cells::training::weight(&train, n_final),
        json!({ "kind": "linear-step/1", "settings": train, "n_final": n_final }),
        schema,
        move |context| {
            let layer = LayerTraining::new(train.clone(), &machine(device))?;
            let mut trainer = layer.trainer();
            trainer.run(&Kept::new(context)?)?;
            let view = AttentionLayer::new(&train, trainer.parameters())?;
            let [step, deviation] = view.learned_step();
            let table = Table::builder("runs")
                .integers("n_demos", vec![train.prompt.n_demos as i64])
                .integers("seed", vec![train.seed as i64])
                .floats("step_size", vec![step])
                .floats("deviation", vec![deviation])
                .floats("relative_loss", vec![trainer.evaluate(Set::Test, n_final)?.nmse()])
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// Means with intervals over seeds, beside the closed forms, for every `N`.
fn summary(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let names = ["step_size", "step_lower", "step_upper", "step_closed", "relative_loss"];
    let more = ["loss_lower", "loss_upper", "loss_closed"];
    let mut columns: [Vec<f64>; 8] = Default::default();
    for n in &settings.n_demos {
        let runs = results.each((0..settings.seeds).map(|seed| name(*n, seed)))?;
        let interval = |column: &str| -> anyhow::Result<[f64; 3]> {
            let sample: Vec<f64> =
                runs.iter().map(|run| Ok(run.floats(column)?[0])).collect::<anyhow::Result<_>>()?;
            let Interval { mean, lower, upper, .. } = interval::mean(&sample)?;
            Ok([mean, lower, upper])
        };
        let eta = best_step(Entries::Normal, *n, settings.d);
        let loss = one_step_loss(Entries::Normal, *n, settings.d, eta);
        let (step, measured) = (interval("step_size")?, interval("relative_loss")?);
        let row = [&step[..], &[eta], &measured, &[loss]].concat();
        columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }
    let n_demos = settings.n_demos.iter().map(|n| *n as i64).collect();
    let mut builder = Table::builder("steps").integers("n_demos", n_demos);
    for (name, column) in names.into_iter().chain(more).zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let runs = Table::stack("runs", results.all())?;
    let steps = summary(settings, results)?;
    let claims = claims(settings, &steps)?;
    let figure = drawing::figure(settings, &steps)?;
    Ok(Outputs {
        tables: vec![(steps, BTreeMap::new()), (runs, BTreeMap::new())],
        figures: vec![(figure, vec!["steps"])],
        claims,
    })
}

/// The columns of a quantity: its mean over seeds with its interval, and its closed form.
#[derive(Clone, Copy)]
struct Columns {
    mean: &'static str,
    lower: &'static str,
    upper: &'static str,
    closed: &'static str,
}

const STEP: Columns =
    Columns { mean: "step_size", lower: "step_lower", upper: "step_upper", closed: "step_closed" };

const LOSS: Columns = Columns {
    mean: "relative_loss",
    lower: "loss_lower",
    upper: "loss_upper",
    closed: "loss_closed",
};

/// The largest distance of a ratio to its closed form from one, over `N`: its value and the lower end of its
/// interval (zero if that covers the closed form), and the outermost upper end of all.
fn worst(table: &Table, of: Columns, n: usize) -> anyhow::Result<Interval> {
    let (mean, closed) = (table.floats(of.mean)?, table.floats(of.closed)?);
    let (lower, upper) = (table.floats(of.lower)?, table.floats(of.upper)?);
    let away = |i: usize| {
        let c = closed[i];
        let ratio = Interval { mean: mean[i] / c, lower: lower[i] / c, upper: upper[i] / c, n };
        ratio.distance_from_one()
    };
    let away: Vec<Interval> = (0..mean.len()).map(away).collect();
    let worst = largest::value(away.iter().map(|one| one.mean));
    let lower = away.iter().find(|one| one.mean == worst).map_or(f64::NAN, |one| one.lower);
    let upper = largest::value(away.iter().map(|one| one.upper));
    Ok(Interval { mean: worst, lower, upper, n })
}

fn claims(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let seeds = settings.seeds as usize;
    let (step, loss) = (worst(table, STEP, seeds)?, worst(table, LOSS, seeds)?);
    let claim = |name: &str, statement: &str, deviation: Interval| {
        let place = Place { item: ITEM.id, claim: name, table: "steps" };
        let claim = over_seeds(place, statement, deviation, Side::AtMost, 0.02);
        Claim { expected: settings.expected, ..claim }
    };
    Ok(vec![
        claim("step", "Learned step against N/(N + d + 1): largest deviation over N", step),
        claim("loss", "Loss against (d + 1)/(N + d + 1): largest deviation over N", loss),
    ])
}
