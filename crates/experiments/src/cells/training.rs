//! Cells that train one layer and report its test loss.

use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::attention;
use icl_model::task;
use icl_model::train::{TestPoint, TrainSettings, Trainer};
use icl_numerics::lanes::Isa;
use serde_json::json;

/// Columns of a training cell's result: set of prompts, step, test loss, and `2 test loss / E[s^2]`.
///
/// The set is [`HELD_OUT`] along the training and [`FINAL`] once at the end.
pub(crate) fn schema() -> Schema {
    vec![
        ("set".into(), ColumnType::Text),
        ("step".into(), ColumnType::Integer),
        ("test_loss".into(), ColumnType::Float),
        ("relative_loss".into(), ColumnType::Float),
    ]
}

/// The held-out set.
pub(crate) const HELD_OUT: &str = "held-out";
/// The larger set for comparisons after training.
pub(crate) const FINAL: &str = "final";

/// A cell that trains with `settings` and evaluates on `n_final` prompts at the end.
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(crate) fn cell(settings: TrainSettings, n_final: usize, isa: Isa) -> anyhow::Result<Cell> {
    settings.check()?;
    task::find(&settings.task)?;
    attention::parse(&settings.modification)?;
    Ok(Cell {
        specification: json!({ "kind": "training/2", "settings": settings, "n_final": n_final }),
        label: format!("{} {} seed {}", settings.task, settings.modification, settings.seed),
        weight: weight(&settings, n_final),
        schema: schema(),
        compute: Box::new(move || Ok(train(&settings, n_final, isa)?)),
    })
}

/// Rough number of operations in units of 1e9, for order of work and remaining time only.
pub(crate) fn weight(settings: &TrainSettings, n_final: usize) -> f64 {
    let (tokens, d) = (settings.prompt.n_tokens() as f64, settings.prompt.d() as f64);
    let heads = settings.n_heads as f64;
    let features = settings.d_r as f64;
    let per_prompt = 40.0 * tokens * d
        + heads * (12.0 * tokens * d + 6.0 * d * d)
        + heads * features * tokens * (6.0 * d + 40.0)
        + if settings.modification == "plain" { 0.0 } else { 40.0 * tokens * d * heads };
    let prompts = settings.steps * settings.batch
        + n_final
        + settings.n_test * (1 + settings.steps / settings.test_every.max(1));
    per_prompt * prompts as f64 / 1e9
}

fn train(settings: &TrainSettings, n_final: usize, isa: Isa) -> anyhow::Result<Table> {
    let mut trainer = Trainer::new(settings.clone(), isa)?;
    let curve = trainer.run()?;
    let scale = trainer.held_out().mean_square_target();
    let point = |point: TestPoint| (HELD_OUT, point, 2.0 * point.test_loss / scale);
    let mut rows: Vec<(&str, TestPoint, f64)> = curve.into_iter().map(point).collect();
    let last = trainer.final_evaluation(n_final)?;
    let at_end = TestPoint { step: settings.steps, test_loss: last.test_loss };
    rows.push((FINAL, at_end, last.relative()));
    to_table(&rows)
}

/// Rows of set, step with test loss, and relative loss.
pub(crate) fn to_table(rows: &[(&str, TestPoint, f64)]) -> anyhow::Result<Table> {
    let table = Table::builder("training")
        .texts("set", &rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .integers("step", rows.iter().map(|row| row.1.step as i64).collect())
        .floats("test_loss", rows.iter().map(|row| row.1.test_loss).collect())
        .floats("relative_loss", rows.iter().map(|row| row.2).collect())
        .build()?;
    Ok(table)
}
