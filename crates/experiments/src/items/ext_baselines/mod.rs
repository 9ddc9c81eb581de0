//! Trained attention beside what needs no training: error against the number of demonstrations.

mod method;

use crate::cells::training;
use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::regression::{Entries, Predictor, Problem, best_step, one_step_loss};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Measurement, Place, agree, at_least, at_most, sampled, tested};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::{error_of, interval, standard_error};
use artifact::table::{ColumnType, Table};
use icl_model::kernel::{Kernel, KernelSettings};
use icl_model::prompt::PromptShape;
use icl_model::settings::TrainSettings;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use method::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-baselines",
    paper: "beyond the paper",
    claim: "One softmax head is a kernel smoother, two approach a gradient step, linear attention is one; least \
         squares is the ceiling",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_demos: Vec<usize>,
    n_claims: usize,
    problems: usize,
    tuning_problems: usize,
    closed_form_problems: usize,
    steps: usize,
    n_final: usize,
    seeds: u64,
    expected: bool,
}

/// Trained layers: name, attention, heads.
const LAYERS: [(&str, KernelSettings, usize); 4] = [
    ("1 softmax head", Kernel::SoftmaxWithoutQuery, 1),
    ("2 softmax heads", Kernel::SoftmaxWithoutQuery, 2),
    ("4 softmax heads", Kernel::SoftmaxWithoutQuery, 4),
    ("linear attention", Kernel::Linear, 1),
];

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let largest = settings.n_demos.iter().max().copied().unwrap_or(0);
    if settings.n_demos.contains(&0) || !(1..=512).contains(&largest) {
        return Err(file.refuse("n_demos", &format!("{:?}", settings.n_demos), "1 to 512"));
    }
    if !settings.n_demos.contains(&settings.n_claims) {
        return Err(file.refuse("n_claims", &settings.n_claims.to_string(), "one of n_demos"));
    }
    if settings.problems < BLOCKS || settings.tuning_problems == 0 {
        let found = format!("{}, {}", settings.problems, settings.tuning_problems);
        return Err(file.refuse("problems, tuning_problems", &found, "at least 64 and 1"));
    }
    let mut cells = vec![closed_form_cell(&settings)];
    cells.extend(settings.n_demos.iter().map(|n| predictors_cell(&settings, *n)));
    for n_demos in &settings.n_demos {
        for (layer, kernel, n_heads) in LAYERS {
            for seed in 0..settings.seeds {
                let train = TrainSettings {
                    prompt: PromptShape { n_demos: *n_demos, d_t: settings.d, d_s: 1 },
                    kernel,
                    n_heads,
                    steps: settings.steps,
                    validate_every: settings.steps.max(1),
                    seed,
                    ..TrainSettings::base()
                };
                let name = layer_name(layer, *n_demos, seed);
                let cell = training::cell(name, train, settings.n_final, context.device);
                cells.push(cell.map_err(|error| {
                    file.refuse("training", &error.to_string(), "settings in range")
                })?);
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Cell and table of one gradient step.
const ONE_STEP: &str = "one_step";

/// Name of the cell of the predictors without training.
fn predictors_name(n_demos: usize) -> String {
    format!("predictors/N = {n_demos}")
}

/// Name of a trained layer's cell.
fn layer_name(layer: &str, n_demos: usize, seed: u64) -> String {
    format!("{layer}/N = {n_demos}/{seed}")
}

/// Blocks of problems whose means are resampled for intervals.
const BLOCKS: usize = 64;

fn closed_form_cell(settings: &Settings) -> Cell {
    let (d, n, count) = (settings.d, settings.n_claims, settings.closed_form_problems);
    Cell::new(
        ONE_STEP,
        (count * n * d) as f64 / 1e8,
        json!({ "kind": "one-step/2", "d": d, "n_demos": n, "problems": count }),
        vec![
            ("predictor".into(), ColumnType::Text),
            ("eta".into(), ColumnType::Float),
            ("monte_carlo".into(), ColumnType::Float),
            ("standard_error".into(), ColumnType::Float),
            ("closed_form".into(), ColumnType::Float),
        ],
        move |_| {
            let etas = [1.0, best_step(Entries::Uniform, n, d)];
            // a loss and its standard error
            let losses = etas.map(|eta| {
                let step = Predictor::Descent { steps: 1, eta, gamma: 0.0 };
                let (errors, targets) = squared_errors("one-step", count, n, d, step);
                let loss = order::sum(&errors) / order::sum(&targets);
                // the ratio's error by the delta method
                let rest: Vec<f64> =
                    errors.iter().zip(&targets).map(|(e, t)| e - loss * t).collect();
                let scale = order::mean(&targets).unwrap_or(1.0);
                [loss, standard_error(&rest) / scale]
            });
            let table = Table::builder("one_step")
                .texts("predictor", &[Method::Averaging, Method::OneStep].map(Method::name))
                .floats("eta", etas.to_vec())
                .floats("monte_carlo", losses.map(|loss| loss[0]).to_vec())
                .floats("standard_error", losses.map(|loss| loss[1]).to_vec())
                .floats(
                    "closed_form",
                    etas.map(|eta| one_step_loss(Entries::Uniform, n, d, eta)).to_vec(),
                )
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// Squared errors and squared targets of a predictor.
fn squared_errors(
    purpose: &str,
    count: usize,
    n: usize,
    d: usize,
    predictor: Predictor,
) -> (Vec<f64>, Vec<f64>) {
    let stream = Stream::new(0, &format!("baselines/{purpose}"));
    let pair = |p: usize| {
        let problem = Problem::new(&stream, p as u64, n, d, Entries::Uniform);
        let error = predictor.predict(&problem) - problem.target;
        (error * error, problem.target * problem.target)
    };
    (0..count).map(pair).unzip()
}

fn predictors_cell(settings: &Settings, n: usize) -> Cell {
    let Settings { d, problems, tuning_problems, .. } = *settings;
    Cell::new(
        predictors_name(n),
        (problems * n * n * d) as f64 / 1e8,
        json!({
            "kind": "predictors/1", "d": d, "n_demos": n, "problems": problems,
            "tuning_problems": tuning_problems
        }),
        curve_schema(),
        move |_| {
            let mut rows = Vec::new();
            for method in Method::ALL {
                let best = tuned(*method, n, d, tuning_problems)?;
                let method = method.name();
                let (errors, targets) = squared_errors("test", problems, n, d, best);
                let scale = order::sum(&targets) / targets.len() as f64;
                rows.push((method, interval(&blocks(&errors, scale), method)?));
            }
            anyhow::Ok(curve_table(n, &rows)?)
        },
    )
}

fn curve_schema() -> Vec<(String, ColumnType)> {
    vec![
        ("method".into(), ColumnType::Text),
        ("n_demos".into(), ColumnType::Integer),
        ("relative_loss".into(), ColumnType::Float),
        ("lower".into(), ColumnType::Float),
        ("upper".into(), ColumnType::Float),
    ]
}

fn curve_table(n: usize, rows: &[(&str, [f64; 3])]) -> anyhow::Result<Table> {
    let table = Table::builder("curves")
        .texts("method", &rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .integers("n_demos", vec![n as i64; rows.len()])
        .floats("relative_loss", rows.iter().map(|row| row.1[0]).collect())
        .floats("lower", rows.iter().map(|row| row.1[1]).collect())
        .floats("upper", rows.iter().map(|row| row.1[2]).collect())
        .build()?;
    Ok(table)
}

/// Means of consecutive blocks, relative to `scale`.
fn blocks(errors: &[f64], scale: f64) -> Vec<f64> {
    let size = errors.len() / BLOCKS;
    errors.chunks_exact(size).map(|block| order::sum(block) / (size as f64 * scale)).collect()
}

/// Mean and 95 % bootstrap interval.
fn interval(sample: &[f64], _: &str) -> anyhow::Result<[f64; 3]> {
    let interval = interval::mean(sample)?;
    Ok([interval.mean, interval.lower, interval.upper])
}

/// The method with the setting that does best on problems of its own.
fn tuned(method: Method, n: usize, d: usize, problems: usize) -> anyhow::Result<Predictor> {
    let loss =
        |predictor: &Predictor| order::sum(&squared_errors("tuning", problems, n, d, *predictor).0);
    let all = method.candidates(n, d);
    if let [only] = all[..] {
        return Ok(only);
    }
    let losses: Vec<f64> = all.iter().map(loss).collect();
    let best = (0..all.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    best.map(|i| all[i]).context("a method without candidates")
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let n_demos = || settings.n_demos.iter().copied();
    let predictors = results.each(n_demos().map(predictors_name))?;
    let mut trained = Vec::new();
    for n in n_demos() {
        let mut rows = Vec::new();
        for (layer, _, _) in LAYERS {
            let seeds = (0..settings.seeds).map(|seed| layer_name(layer, n, seed));
            let finals = training::finals(&results.each(seeds)?)?;
            rows.push((layer, interval(&finals, layer)?));
        }
        trained.push(curve_table(n, &rows)?);
    }
    let curves = Table::stack("curves", predictors.into_iter().chain(&trained))?;
    let one_step = results.get(ONE_STEP)?.clone().named(ONE_STEP);
    let claims = claims(settings, &curves, &one_step)?;
    let figure = figure(settings, &curves)?;
    Ok(Outputs {
        tables: vec![(curves, BTreeMap::new()), (one_step, BTreeMap::new())],
        figures: vec![(figure, vec!["curves"])],
        claims,
    })
}

/// Rows of a method: demonstrations, and loss with interval.
fn curve(table: &Table, method: &str) -> anyhow::Result<Vec<(f64, [f64; 3])>> {
    let (methods, n) = (table.texts("method")?, table.numbers("n_demos")?);
    let columns = [table.floats("relative_loss")?, table.floats("lower")?, table.floats("upper")?];
    let rows = (0..n.len()).filter(|i| methods[*i] == method);
    Ok(rows.map(|i| (n[i], [columns[0][i], columns[1][i], columns[2][i]])).collect())
}

fn claims(settings: &Settings, curves: &Table, one_step: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = closed_form_claims(settings, curves, one_step)?;
    claims.extend(layer_claims(settings, curves, one_step)?);
    for claim in &mut claims {
        claim.expected = settings.expected;
    }
    Ok(claims)
}

fn closed_form_claims(
    settings: &Settings,
    curves: &Table,
    one_step: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let d = settings.d as f64;
    let (measured, closed) = (one_step.floats("monte_carlo")?, one_step.floats("closed_form")?);
    let errors = one_step.floats("standard_error")?;
    let step = |i: usize| Measurement { value: measured[i], error: errors[i], closed: closed[i] };
    let ols = curve(curves, Method::LeastSquares.name())?;
    let beyond = largest::value(ols.iter().filter(|row| row.0 >= d).map(|row| row.1[0]));
    let below = ols.iter().filter(|row| row.0 < d).map(|(n, [value, lower, upper])| Measurement {
        value: *value,
        error: error_of([*lower, *upper]),
        closed: (d - n) / d,
    });
    let place = |claim, table| Place { item: ITEM.id, claim, table };
    Ok(vec![
        agree(
            place("gd-closed-form", "one_step"),
            "One gradient step: closed form against Monte Carlo",
            [step(1)],
            0.01,
        ),
        agree(
            place("averaging-closed-form", "one_step"),
            "Averaging: closed form against Monte Carlo",
            [step(0)],
            0.02,
        ),
        at_most(place("ols-exact", "curves"), "Loss of least squares from N = d on", beyond, 1e-10),
        agree(place("ols-curve", "curves"), "Least squares against (d - N)/d below d", below, 0.02),
    ])
}

fn layer_claims(
    settings: &Settings,
    curves: &Table,
    one_step: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let n = settings.n_claims as f64;
    let at = |method: &str| -> anyhow::Result<[f64; 3]> {
        let row = curve(curves, method)?.into_iter().find(|row| row.0 == n);
        Ok(row.context("n_claims is not in the table")?.1)
    };
    let gd = one_step.floats("closed_form")?[1];
    let [linear, low, high] = at("linear attention")?.map(|loss| loss / gd);
    let [two, two_low, two_high] = at("2 softmax heads")?;
    let [one, one_low, one_high] = at("1 softmax head")?.map(|loss| loss / gd);
    let place = |name| Place { item: ITEM.id, claim: name, table: "curves" };
    let one_head = at_least(
        place("one-head"),
        "One softmax head over one gradient step: far from it",
        one,
        1.2,
    );
    Ok(vec![
        tested(
            place("linear-is-gd"),
            "Linear attention over one gradient step",
            linear,
            [low, high],
            1.02,
        ),
        tested(
            place("two-heads"),
            "Two softmax heads reach 1.03 x .518, the floor of their family",
            two,
            [two_low, two_high],
            1.03 * 0.518,
        ),
        sampled(one_head, [one_low, one_high]),
    ])
}

fn figure(settings: &Settings, curves: &Table) -> anyhow::Result<Figure> {
    let line = |method: &str, style: Style| -> anyhow::Result<Series> {
        let rows = curve(curves, method)?;
        let column = |k: usize| {
            rows.iter().map(|row| largest::at_least(row.1[k], 1e-6)).collect::<Vec<f64>>()
        };
        let x = rows.iter().map(|row| row.0).collect();
        Ok(Series::line(method, style, x, column(0)).with_band(column(1), column(2)))
    };
    let panel = |title: &str, series: Vec<Series>| {
        let (x, y) = (Axis::linear("demonstrations N"), Axis::linear("loss / E[y²]"));
        Panel::Lines(LinePanel { title: title.into(), x, y, series })
    };
    let mut learned = vec![
        line(Method::OneStep.name(), Style::REFERENCE)?,
        line(Method::LeastSquares.name(), Style::THEORY)?,
    ];
    for (i, (name, _, _)) in LAYERS.iter().enumerate() {
        learned.push(line(name, Style::series(i))?);
    }
    let styles = std::iter::once(Style::REFERENCE).chain((0..).map(Style::series));
    let classical: Vec<Series> = Method::ALL
        .iter()
        .zip(styles)
        .map(|(method, style)| line(method.name(), style))
        .collect::<anyhow::Result<_>>()?;
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 290.0,
        panels: vec![panel("trained layers", learned), panel("without training", classical)],
        caption: format!(
            "ext-baselines. Linear regression in context, d = {}, noiseless labels; loss relative to the labels' \
             mean square. Left: attention over the demonstrations only, trained for every N; mean and 95 % \
             bootstrap band over {} seeds; grey and dashed: one gradient step and least squares. Right: predictors \
             with settings tuned on other problems; band: 95 % bootstrap over {} problems.",
            settings.d, settings.seeds, settings.problems
        ),
    })
}
