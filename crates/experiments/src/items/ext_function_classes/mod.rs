//! Other function classes and other prompts: a tiny Transformer beside predictors without training.

mod drawing;
mod function_class;

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::regression::Predictor;
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::{self, Cell};
use artifact::claim::{Claim, Place, tested};
use artifact::statistics::interval;
use artifact::table::{ColumnType, Schema, Table};
use function_class::{ClassSource, Demonstrations, FunctionClass, Prompts, Strategy};
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
    let classes = || FunctionClass::ALL.iter().copied();
    let mut cells: Vec<Cell> = classes().map(|class| predictors_cell(&settings, class)).collect();
    for class in classes() {
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

    /// As many standard prompts as are asked for: of a class, with `n_demos` demonstrations.
    fn standard(&self, class: FunctionClass, n_demos: usize) -> Prompts {
        Prompts { class, strategy: Strategy::Standard, n_demos, d: self.d }
    }

    /// Every number of demonstrations with the standard strategy.
    fn by_number(&self, class: FunctionClass) -> impl Iterator<Item = Prompts> {
        (1..=self.n_demos).map(move |n| self.standard(class, n))
    }

    /// Every strategy at the largest number of demonstrations.
    fn by_strategy(&self, class: FunctionClass) -> impl Iterator<Item = Prompts> {
        let most = self.standard(class, self.n_demos);
        Strategy::ALL.iter().map(move |strategy| Prompts { strategy: *strategy, ..most })
    }

    /// What is evaluated: both, the standard strategy at the largest number once.
    fn evaluations(&self, class: FunctionClass) -> Vec<Prompts> {
        self.by_number(class).take(self.n_demos - 1).chain(self.by_strategy(class)).collect()
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
struct Row {
    prompts: Prompts,
    predictor: &'static str,
    seed: u64,
    loss: f64,
}

fn to_table(rows: &[Row]) -> anyhow::Result<Table> {
    let texts = |f: fn(&Row) -> &'static str| rows.iter().map(f).collect::<Vec<_>>();
    let table = Table::builder("runs")
        .texts("class", &texts(|row| row.prompts.class.name()))
        .texts("predictor", &texts(|row| row.predictor))
        .integers("seed", rows.iter().map(|row| row.seed as i64).collect())
        .texts("strategy", &texts(|row| row.prompts.strategy.name()))
        .integers("n_demos", rows.iter().map(|row| row.prompts.n_demos as i64).collect())
        .floats("relative_loss", rows.iter().map(|row| row.loss).collect())
        .build()?;
    Ok(table)
}

fn test_stream() -> Stream {
    Stream::new(0, "function-class/test")
}

fn predictors_cell(settings: &Settings, class: FunctionClass) -> Cell {
    let settings = settings.clone();
    Cell::new(
        format!("{}/predictors", class.name()),
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
            for prompts in settings.evaluations(class) {
                let problems: Vec<_> =
                    (0..settings.problems as u64).map(|p| prompts.problem(&stream, p)).collect();
                let squares: Vec<f64> = problems.iter().map(|p| p.target * p.target).collect();
                for (predictor, rule) in PREDICTORS {
                    let error = |p: &_| -> f64 { rule.predict(p) };
                    let errors: Vec<f64> =
                        problems.iter().map(|p| error(p) - p.target).map(|e| e * e).collect();
                    let loss = order::sum(&errors) / order::sum(&squares);
                    rows.push(Row { prompts, predictor, seed: 0, loss });
                }
            }
            anyhow::Ok(to_table(&rows)?)
        },
    )
}

fn model_cell(settings: &Settings, class: FunctionClass, seed: u64, device: Device) -> Cell {
    let settings = settings.clone();
    let model = settings.model(seed);
    Cell::new(
        format!("{}/{MODEL}/{seed}", class.name()),
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
    class: FunctionClass,
    seed: u64,
    device: Device,
) -> anyhow::Result<Table> {
    let source = |stream: Stream, prompts: Prompts, demonstrations: Demonstrations| {
        Box::new(ClassSource { stream, prompts, demonstrations })
    };
    let most = settings.standard(class, settings.n_demos);
    let cycle = Demonstrations::Cycle { every: settings.batch as u64 };
    let data = PromptData {
        training: source(Stream::new(seed, "function-class/train"), most, cycle),
        validation: source(test_stream(), most, Demonstrations::All),
        test: source(test_stream(), most, Demonstrations::All),
    };
    let stack = StackTraining::with_data(model, data, &machine(device))?;
    let mut trainer = stack.trainer();
    trainer.run(&Kept::new(context)?)?;
    let mut rows = Vec::new();
    for prompts in settings.evaluations(class) {
        let test = source(test_stream(), prompts, Demonstrations::All);
        let loss = stack.evaluate(trainer.parameters(), test.as_ref(), settings.problems)?.nmse();
        rows.push(Row { prompts, predictor: MODEL, seed, loss });
    }
    to_table(&rows)
}

fn assemble(settings: &Settings, results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("runs", results.iter().copied())?;
    let claims = claims(settings, &table)?;
    let figure = drawing::figure(settings, &table)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["runs"])],
        claims,
    })
}

/// Losses of a predictor over seeds.
fn losses(table: &Table, predictor: &str, prompts: Prompts) -> anyhow::Result<Vec<f64>> {
    let (classes, predictors) = (table.texts("class")?, table.texts("predictor")?);
    let (strategies, counts) = (table.texts("strategy")?, table.integers("n_demos")?);
    let values = table.floats("relative_loss")?;
    let rows = (0..values.len()).filter(|i| {
        classes[*i] == prompts.class.name()
            && predictors[*i] == predictor
            && strategies[*i] == prompts.strategy.name()
            && counts[*i] == prompts.n_demos as i64
    });
    Ok(rows.map(|i| values[i]).collect())
}

fn band(sample: &[f64], _: &str) -> anyhow::Result<[f64; 3]> {
    let interval = interval::mean(sample)?;
    Ok([interval.mean, interval.lower, interval.upper])
}

/// On linear functions the Transformer beats averaging and the three nearest at `2 d` demonstrations.
fn claims(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let prompts = settings.standard(FunctionClass::Linear, settings.n_demos);
    let model = losses(table, MODEL, prompts)?;
    let [mean, lower, upper] = band(&model, "claims")?;
    let claim = |name: &str, predictor: &str| -> anyhow::Result<Claim> {
        let other = losses(table, predictor, prompts)?;
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
