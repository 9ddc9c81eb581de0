//! Other function classes and other prompts: a tiny Transformer beside predictors without training.

mod function_class;

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::regression::Predictor;
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::{self, Cell};
use artifact::claim::{Claim, Place, tested};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::bootstrap;
use artifact::table::{ColumnType, Schema, Table};
use function_class::{CLASSES, ClassSource, Demonstrations, STRATEGIES, problem};
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::model::PromptData;
use icl_model::prompt::PromptShape;
use icl_model::settings::{StackSettings, TrainSettings};
use icl_model::training::StackTraining;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-function-classes",
    paper: "beyond the paper",
    claim: "A tiny Transformer learns function classes in context; prompts unlike its training show where it breaks",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_demos: usize,
    layers: usize,
    hidden: usize,
    n_heads: usize,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    problems: usize,
    seeds: u64,
    expected: bool,
}

const MODEL: &str = "Transformer";
/// Predictors without training.
const PREDICTORS: [(&str, Predictor); 4] = [
    ("averaging", Predictor::Averaging),
    ("3 nearest", Predictor::Nearest { k: 3 }),
    ("ridge", Predictor::Ridge { lambda: 0.1 }),
    ("least squares", Predictor::LeastSquares),
];

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if !(2..=64).contains(&settings.d) || !(1..=128).contains(&settings.n_demos) {
        let found = format!("{}, {}", settings.d, settings.n_demos);
        return Err(file.refuse("d, n_demos", &found, "2 to 64 and 1 to 128"));
    }
    settings.model(0).check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
    let mut cells: Vec<Cell> = CLASSES.iter().map(|c| predictors_cell(&settings, c)).collect();
    for class in CLASSES {
        for seed in 0..settings.seeds {
            cells.push(model_cell(&settings, class, seed, context.device));
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, &results.all())))
}

impl Settings {
    fn model(&self, seed: u64) -> StackSettings {
        let train = TrainSettings {
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d, d_s: 1 },
            n_heads: self.n_heads,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                clip: 1.0,
                ..AdamSettings::default()
            },
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed,
            ..TrainSettings::base()
        };
        StackSettings { train, layers: self.layers, d_ff: self.hidden, residual: true }
    }

    /// What is evaluated: strategies at the largest number of demonstrations, and every number of them
    /// with the standard one.
    fn evaluations(&self) -> Vec<(&'static str, usize)> {
        let counts = (1..self.n_demos).map(|n| (STRATEGIES[0], n));
        counts.chain(STRATEGIES.iter().map(|s| (*s, self.n_demos))).collect()
    }
}

fn schema() -> Schema {
    vec![
        ("class".into(), ColumnType::Text),
        ("predictor".into(), ColumnType::Text),
        ("seed".into(), ColumnType::Integer),
        ("strategy".into(), ColumnType::Text),
        ("n_demos".into(), ColumnType::Integer),
        ("relative_loss".into(), ColumnType::Float),
    ]
}

/// One row of the table.
type Row<'a> = (&'a str, &'a str, i64, &'a str, usize, f64);

fn to_table(rows: &[Row<'_>]) -> anyhow::Result<Table> {
    let table = Table::builder("runs")
        .texts("class", &rows.iter().map(|r| r.0).collect::<Vec<_>>())
        .texts("predictor", &rows.iter().map(|r| r.1).collect::<Vec<_>>())
        .integers("seed", rows.iter().map(|r| r.2).collect())
        .texts("strategy", &rows.iter().map(|r| r.3).collect::<Vec<_>>())
        .integers("n_demos", rows.iter().map(|r| r.4 as i64).collect())
        .floats("relative_loss", rows.iter().map(|r| r.5).collect())
        .build()?;
    Ok(table)
}

fn test_stream() -> Stream {
    Stream::new(0, "function-class/test")
}

fn predictors_cell(settings: &Settings, class: &'static str) -> Cell {
    let settings = settings.clone();
    Cell::new(
        format!("{class}/predictors"),
        (settings.problems * settings.n_demos) as f64 / 1e5,
        json!({
            "kind": "class-predictors/1", "class": class, "d": settings.d,
            "n_demos": settings.n_demos,
            "problems": settings.problems
        }),
        schema(),
        move |_| {
            let stream = test_stream();
            let mut rows = Vec::new();
            for (strategy, n) in settings.evaluations() {
                let problems: Vec<_> = (0..settings.problems as u64)
                    .map(|p| problem(&stream, p, [n, settings.d], class, strategy))
                    .collect();
                let squares: Vec<f64> = problems.iter().map(|p| p.target * p.target).collect();
                for (name, predictor) in PREDICTORS {
                    let error = |p: &_| -> f64 { predictor.predict(p) };
                    let errors: Vec<f64> =
                        problems.iter().map(|p| error(p) - p.target).map(|e| e * e).collect();
                    let loss = order::sum(&errors) / order::sum(&squares);
                    rows.push((class, name, 0, strategy, n, loss));
                }
            }
            anyhow::Ok(to_table(&rows)?)
        },
    )
}

fn model_cell(settings: &Settings, class: &'static str, seed: u64, device: Device) -> Cell {
    let settings = settings.clone();
    let model = settings.model(seed);
    Cell::new(
        format!("{class}/{MODEL}/{seed}"),
        10.0 * crate::cells::training::weight(&model.train, 0) * settings.layers as f64,
        json!({
            "kind": "class-transformer/1", "class": class, "settings": settings, "seed": seed
        }),
        schema(),
        move |context| train(context, &settings, model.clone(), class, seed, device),
    )
}

fn train(
    context: &cell::Context<'_>,
    settings: &Settings,
    model: StackSettings,
    class: &'static str,
    seed: u64,
    device: Device,
) -> anyhow::Result<Table> {
    let source = |stream: Stream, strategy: &'static str, n_demos: Demonstrations| ClassSource {
        stream,
        class,
        strategy,
        d: settings.d,
        n_demos,
    };
    let every = settings.batch as u64;
    let cycle = Demonstrations::Cycle { largest: settings.n_demos, every };
    let fixed = |n: usize| Demonstrations::Fixed(n);
    let standard = STRATEGIES[0];
    let data = PromptData {
        training: Box::new(source(Stream::new(seed, "function-class/train"), standard, cycle)),
        validation: Box::new(source(test_stream(), standard, fixed(settings.n_demos))),
        test: Box::new(source(test_stream(), standard, fixed(settings.n_demos))),
    };
    let stack = StackTraining::with_data(model, data, &machine(device))?;
    let mut trainer = stack.trainer();
    trainer.run(&Kept::new(context)?)?;
    let mut rows = Vec::new();
    for (strategy, n) in settings.evaluations() {
        let test = source(test_stream(), strategy, fixed(n));
        let loss = stack.evaluate(trainer.parameters(), &test, settings.problems)?.nmse();
        rows.push((class, MODEL, seed as i64, strategy, n, loss));
    }
    to_table(&rows)
}

fn assemble(settings: &Settings, results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("runs", results.iter().copied())?;
    let claims = claims(settings, &table)?;
    let figure = figure(settings, &table)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["runs"])],
        claims,
    })
}

/// Losses over seeds.
fn losses(
    table: &Table,
    [class, predictor, strategy]: [&str; 3],
    n: usize,
) -> anyhow::Result<Vec<f64>> {
    let (classes, predictors) = (table.texts("class")?, table.texts("predictor")?);
    let (strategies, counts) = (table.texts("strategy")?, table.integers("n_demos")?);
    let values = table.floats("relative_loss")?;
    let rows = (0..values.len()).filter(|i| {
        classes[*i] == class
            && predictors[*i] == predictor
            && strategies[*i] == strategy
            && counts[*i] == n as i64
    });
    Ok(rows.map(|i| values[i]).collect())
}

fn band(sample: &[f64], purpose: &str) -> anyhow::Result<[f64; 3]> {
    let interval = bootstrap::mean(sample, &format!("function-class/{purpose}"))?;
    Ok([interval.mean, interval.lower, interval.upper])
}

/// On linear functions the Transformer beats averaging and the three nearest at `2 d` demonstrations.
fn claims(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let (class, standard, n) = (CLASSES[0], STRATEGIES[0], settings.n_demos);
    let model = losses(table, [class, MODEL, standard], n)?;
    let [mean, lower, upper] = band(&model, "claims")?;
    let claim = |name: &str, predictor: &str| -> anyhow::Result<Claim> {
        let other = losses(table, [class, predictor, standard], n)?;
        let other = other.first().copied().context("a predictor is missing")?;
        let statement = format!("Loss of the Transformer on linear functions, below {predictor}");
        let claim = tested(
            Place { item: ITEM.id, claim: name, table: "runs" },
            &statement,
            mean,
            [lower, upper],
            other,
        );
        Ok(Claim { expected: settings.expected, ..claim })
    };
    Ok(vec![claim("below-averaging", "averaging")?, claim("below-nearest", "3 nearest")?])
}

fn figure(settings: &Settings, table: &Table) -> anyhow::Result<Figure> {
    let names = std::iter::once(MODEL).chain(PREDICTORS.iter().map(|p| p.0));
    let names: Vec<&str> = names.collect();
    let line = |class: &str, i: usize, points: &[(&str, usize)]| -> anyhow::Result<Series> {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for (strategy, n) in points {
            let sample = losses(table, [class, names[i], strategy], *n)?;
            let row = band(&sample, "figure")?;
            columns.iter_mut().zip(row).for_each(|(c, x)| c.push(x.clamp(1e-3, 1e2)));
        }
        let [mean, lower, upper] = columns;
        let x = if points.iter().all(|p| p.0 == STRATEGIES[0]) {
            points.iter().map(|p| p.1 as f64).collect()
        } else {
            (1..=points.len()).map(|k| k as f64).collect()
        };
        let series = if points[0].0 == points[points.len() - 1].0 {
            Series::line(names[i], Style::series(i), x, mean)
        } else {
            Series::points(names[i], Style::series(i), x, mean)
        };
        Ok(series.with_band(lower, upper))
    };
    let panel = |title: &str, x: &str, class: &str, points: &[(&str, usize)]| {
        let series = (0..names.len()).map(|i| line(class, i, points)).collect::<Result<_, _>>()?;
        let (x, y) = (Axis::linear(x), Axis::log("loss / E[y²]"));
        anyhow::Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    let counts: Vec<(&str, usize)> = (1..=settings.n_demos).map(|n| (STRATEGIES[0], n)).collect();
    let strategies: Vec<(&str, usize)> =
        STRATEGIES.iter().map(|s| (*s, settings.n_demos)).collect();
    let mut panels = Vec::new();
    for class in CLASSES {
        panels.push(panel(class, "demonstrations N", class, &counts)?);
    }
    panels.push(panel("linear, other prompts", "prompt strategy", CLASSES[0], &strategies)?);
    let named: Vec<String> =
        STRATEGIES.iter().enumerate().map(|(i, s)| format!("{} {s}", i + 1)).collect();
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 220.0,
        panels,
        caption: format!(
            "ext-function-classes. A Transformer of {} layers ({} heads, {} hidden units, residual paths) trained on \
             prompts of 1 to {} demonstrations, d = {}, beside predictors without training; mean and 95 % bootstrap \
             band over {} seeds. Last panel: prompts unlike those of training, N = {}: {}. Values below 0.001 and \
             above 100 stand at the edge.",
            settings.layers,
            settings.n_heads,
            settings.hidden,
            settings.n_demos,
            settings.d,
            settings.seeds,
            settings.n_demos,
            named.join(", ")
        ),
    })
}
