//! Cells that train one layer and report its test loss.

use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::attention;
use icl_model::task;
use icl_model::train::{TrainSettings, Trainer};
use icl_numerics::lanes::Isa;
use serde_json::json;

/// Columns of a training cell's result: step, test loss, and `2 test loss / E[s^2]`.
pub(crate) fn schema() -> Schema {
    vec![
        ("step".into(), ColumnType::Integer),
        ("test_loss".into(), ColumnType::Float),
        ("relative_loss".into(), ColumnType::Float),
    ]
}

/// A cell that trains with `settings`.
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(crate) fn cell(settings: TrainSettings, isa: Isa) -> anyhow::Result<Cell> {
    settings.check()?;
    task::find(&settings.task)?;
    attention::parse(&settings.modification)?;
    Ok(Cell {
        specification: json!({ "kind": "training/1", "settings": settings }),
        label: format!("{} {} seed {}", settings.task, settings.modification, settings.seed),
        weight: weight(&settings),
        schema: schema(),
        compute: Box::new(move || Ok(train(&settings, isa)?)),
    })
}

/// Rough number of operations in units of 1e9, for order of work and remaining time only.
pub(crate) fn weight(settings: &TrainSettings) -> f64 {
    let (tokens, d) = (settings.prompt.n_tokens() as f64, settings.prompt.d() as f64);
    let heads = settings.n_heads as f64;
    let features = settings.d_r as f64;
    let per_prompt = 40.0 * tokens * d
        + heads * (12.0 * tokens * d + 6.0 * d * d)
        + heads * features * tokens * (6.0 * d + 40.0)
        + if settings.modification == "plain" { 0.0 } else { 40.0 * tokens * d * heads };
    let prompts = settings.steps * settings.batch
        + settings.n_test * (1 + settings.steps / settings.test_every.max(1));
    per_prompt * prompts as f64 / 1e9
}

fn train(settings: &TrainSettings, isa: Isa) -> anyhow::Result<Table> {
    let mut trainer = Trainer::new(settings.clone(), isa)?;
    let curve = trainer.run()?;
    let scale = 2.0 / trainer.held_out().mean_square_target();
    let table = Table::builder("training")
        .integers("step", curve.iter().map(|point| point.step as i64).collect())
        .floats("test_loss", curve.iter().map(|point| point.test_loss).collect())
        .floats("relative_loss", curve.iter().map(|point| scale * point.test_loss).collect())
        .build()?;
    Ok(table)
}
