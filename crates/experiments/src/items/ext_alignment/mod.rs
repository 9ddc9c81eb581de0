//! Is trained attention a gradient step? Alignment during training, and beyond the training distribution.

mod constructed;
mod drawing;
mod iterated;
mod shift;

use crate::cells::{machine, watched};
use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::regression::{Entries, Predictor, Problem, best_step};
use crate::settings::SettingsFile;
use crate::views::attention_layer::{self, AttentionLayer};
use anyhow::Context as _;
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Place, Side, at_most, over_seeds};
use artifact::statistics::{Interval, interval};
use artifact::table::{ColumnType, Table};
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::kernel::{Kernel, KernelSettings};
use icl_model::prompt::{Inputs, PromptShape};
use icl_model::settings::{TrainSettings, Watched};
use icl_model::training::LayerTraining;
use icl_numerics::finite_difference::gradient;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shift::Shift;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-alignment",
    paper: "beyond the paper",
    claim: "Trained linear attention is one gradient step, also out of distribution",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_demos: usize,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    initial_sd: f64,
    every: usize,
    problems: usize,
    shifted_problems: usize,
    seeds: u64,
    expected: bool,
}

/// Trained layers that are compared with the gradient step.
const LAYERS: [(&str, KernelSettings, usize); 2] =
    [("linear attention", Kernel::Linear, 1), ("2 softmax heads", Kernel::SoftmaxWithoutQuery, 2)];

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.every == 0 || settings.problems == 0 || settings.n_demos < 8 {
        let found = format!("{}, {}, {}", settings.every, settings.problems, settings.n_demos);
        return Err(file.refuse("every, problems, n_demos", &found, "at least 1, 1 and 8"));
    }
    let (mut cells, mut iterated_cells) = (Vec::new(), Vec::new());
    for (name, kernel, n_heads) in LAYERS {
        for seed in 0..settings.seeds {
            let train = TrainSettings {
                prompt: PromptShape { n_demos: settings.n_demos, d_t: settings.d, d_s: 1 },
                inputs: Inputs::Normal,
                kernel,
                n_heads,
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
            if kernel == Kernel::Linear {
                iterated_cells.push(iterated::cell(
                    train.clone(),
                    settings.problems,
                    context.device,
                ));
            }
            cells.push(cell(&settings, name, train, context.device));
        }
    }
    cells.extend(iterated_cells);
    cells.push(constructed::cell());
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn schema() -> Vec<(String, ColumnType)> {
    let floats = ["x", "cosine", "sensitivity_gap", "prediction_gap", "loss", "gd_loss"];
    let mut schema = vec![
        ("layer".to_owned(), ColumnType::Text),
        ("seed".to_owned(), ColumnType::Integer),
        ("shift".to_owned(), ColumnType::Text),
    ];
    schema.extend(floats.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

/// Name of the cell of a layer and a seed.
fn cell_name(layer: &str, seed: u64) -> String {
    format!("{layer}/{seed}")
}

fn cell(settings: &Settings, name: &'static str, train: TrainSettings, device: Device) -> Cell {
    let settings = settings.clone();
    let cell_name = cell_name(name, train.seed);
    let weight = crate::cells::training::weight(&train, 0)
        + (settings.problems * settings.steps / settings.every) as f64 / 1e4;
    let watched = watched(train, settings.every);
    let specification = json!({ "kind": "alignment/2", "settings": settings, "watched": watched });
    Cell::new(cell_name, weight, specification, schema(), move |_| {
        measure(&settings, name, &watched, device)
    })
}

/// The shift of problems as in training.
const NONE: &str = "none";

/// One comparison over problems.
struct Row {
    /// Name of the shift.
    shift: &'static str,
    x: f64,
    /// Cosine and distance of the sensitivities, distance of predictions, both losses.
    values: [f64; 5],
}

fn measure(
    settings: &Settings,
    name: &str,
    watched: &Watched,
    device: Device,
) -> anyhow::Result<Table> {
    let train = &*watched.run.train();
    let training = LayerTraining::new(train.clone(), &machine(device))?;
    let mut rows = Vec::new();
    let trained = training.trainer().watch(&watched.at, |step, at| {
        let layer = AttentionLayer::new(train, at.parameters())?;
        let values = compare(settings, &layer, settings.problems, |p| p);
        rows.push(Row { shift: NONE, x: step as f64, values });
        anyhow::Ok(())
    })?;
    let layer = AttentionLayer::new(train, &trained)?;
    for shift in Shift::ALL {
        for x in shift.amounts() {
            let changed = |problem: Problem| shift.apply(problem, x);
            let values = compare(settings, &layer, settings.shifted_problems, changed);
            rows.push(Row { shift: shift.name(), x, values });
        }
    }
    let column = |k: usize| rows.iter().map(|row| row.values[k]).collect::<Vec<f64>>();
    let table = Table::builder("alignment")
        .texts("layer", &vec![name; rows.len()])
        .integers("seed", vec![train.seed as i64; rows.len()])
        .texts("shift", &rows.iter().map(|row| row.shift).collect::<Vec<_>>())
        .floats("x", rows.iter().map(|row| row.x).collect())
        .floats("cosine", column(0))
        .floats("sensitivity_gap", column(1))
        .floats("prediction_gap", column(2))
        .floats("loss", column(3))
        .floats("gd_loss", column(4))
        .build()?;
    Ok(table)
}

/// Means over problems of what [`Row`] holds, against the gradient step of the training distribution.
fn compare(
    settings: &Settings,
    layer: &AttentionLayer,
    problems: usize,
    change: impl Fn(Problem) -> Problem,
) -> [f64; 5] {
    let stream = Stream::new(0, "alignment/problems");
    let (n, d) = (settings.n_demos, settings.d);
    let eta = best_step(Entries::Normal, n, d);
    let gd = Predictor::Descent { steps: 1, eta, gamma: 0.0 };
    let mut columns: [Vec<f64>; 6] = Default::default();
    for p in 0..problems {
        let problem = change(Problem::new(&stream, p as u64, n, d, Entries::Normal));
        let (tokens, mut moved) = (attention_layer::tokens(&problem), problem.clone());
        let ours = gradient(|query| layer.answer(&tokens, query), &problem.query);
        let at = |query: &[f64]| {
            moved.query.copy_from_slice(query);
            gd.predict(&moved)
        };
        let theirs = gradient(at, &problem.query);
        let (a, b) = (layer.predict(&problem), gd.predict(&problem));
        let norms = order::sum_of_squares(&ours).sqrt() * order::sum_of_squares(&theirs).sqrt();
        let gaps: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        let row = [
            if norms > 0.0 { order::dot(&ours, &theirs) / norms } else { 0.0 },
            order::sum_of_squares(&gaps).sqrt(),
            (a - b).abs(),
            (a - problem.target) * (a - problem.target),
            (b - problem.target) * (b - problem.target),
            problem.target * problem.target,
        ];
        columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }
    let mean = |k: usize| order::mean(&columns[k]).unwrap_or(0.0);
    [mean(0), mean(1), mean(2), mean(3) / mean(5), mean(4) / mean(5)]
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let seeds = || 0..settings.seeds;
    let runs =
        LAYERS.iter().flat_map(|(layer, ..)| seeds().map(move |seed| cell_name(layer, seed)));
    let table = Table::stack("alignment", results.each(runs)?)?;
    let iterated = Table::stack("iterated", results.each(seeds().map(iterated::name))?)?;
    let constructed = results.get(constructed::NAME)?.clone();
    let mut claims = claims(settings, &table, &constructed)?;
    claims.push(iterated::claim(ITEM.id, settings.expected, &iterated)?);
    let figure = drawing::figure(settings, &table, &iterated)?;
    Ok(Outputs {
        tables: vec![
            (table, BTreeMap::new()),
            (iterated, BTreeMap::new()),
            (constructed, BTreeMap::new()),
        ],
        figures: vec![(figure, vec!["alignment", "iterated"])],
        claims,
    })
}

/// Which values of the table.
#[derive(Clone, Copy)]
struct Selection<'a> {
    layer: &'a str,
    /// Name of the shift, or [`NONE`].
    shift: &'a str,
    column: &'a str,
}

/// The values over seeds at every `x`.
fn samples(table: &Table, of: Selection<'_>) -> anyhow::Result<Vec<(f64, Vec<f64>)>> {
    let Selection { layer, shift, column } = of;
    let (layers, shifts) = (table.texts("layer")?, table.texts("shift")?);
    let (x, values) = (table.floats("x")?, table.floats(column)?);
    let rows: Vec<usize> =
        (0..x.len()).filter(|i| layers[*i] == layer && shifts[*i] == shift).collect();
    let mut positions: Vec<f64> = rows.iter().map(|i| x[*i]).collect();
    positions.sort_by(f64::total_cmp);
    positions.dedup();
    let sample =
        |at: &f64| rows.iter().filter(|i| x[**i] == *at).map(|i| values[*i]).collect::<Vec<f64>>();
    Ok(positions.iter().map(|at| (*at, sample(at))).collect())
}

fn claims(settings: &Settings, table: &Table, constructed: &Table) -> anyhow::Result<Vec<Claim>> {
    let linear = LAYERS[0].0;
    let cosine = Selection { layer: linear, shift: NONE, column: "cosine" };
    let (_, cosine) = samples(table, cosine)?.pop().context("no training step")?;
    let cosine = interval::mean(&cosine)?;
    let mut shifted: Vec<Interval> = Vec::new();
    for shift in Shift::ALL {
        let of = |column| Selection { layer: linear, shift: shift.name(), column };
        let (ours, theirs) = (samples(table, of("loss"))?, samples(table, of("gd_loss"))?);
        for ((_, ours), (_, theirs)) in ours.iter().zip(&theirs) {
            let ratio = interval::ratio(ours, theirs)?;
            shifted.push(ratio.distance_from_one());
        }
    }
    let mean = largest::value(shifted.iter().map(|one| one.mean));
    let one = shifted.iter().find(|one| one.mean == mean).context("no shift")?;
    let worst = Interval { upper: largest::value(shifted.iter().map(|one| one.upper)), ..*one };
    let exact = largest::value(constructed.floats("difference")?);
    let place = |claim, table| Place { item: ITEM.id, claim, table };
    let mut claims = vec![
        over_seeds(
            place("cosine", "alignment"),
            "Cosine of linear attention's and the gradient step's sensitivities after training",
            cosine,
            Side::AtLeast,
            0.99,
        ),
        over_seeds(
            place("shifted", "alignment"),
            "Loss of linear attention against the gradient step's, the worst shift",
            worst,
            Side::AtMost,
            0.05,
        ),
    ];
    claims.iter_mut().for_each(|claim| claim.expected = settings.expected);
    claims.push(at_most(
        place("constructed", "constructed"),
        "Hundred constructed layers of linear attention against a hundred gradient steps",
        exact,
        1e-10,
    ));
    Ok(claims)
}
