//! Cells that train one layer and report its test loss.

use super::{Kept, machine};
use anyhow::bail;
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table};
use icl_model::attention;
use icl_model::device::Device;
use icl_model::objective::{CurvePoint, Set};
use icl_model::settings::TrainSettings;
use icl_model::task;
use icl_model::trainer::Trainer;
use icl_model::training::LayerTraining;
use serde_json::json;

/// Columns of a training cell's result: set of prompts, step, test loss, and `2 test loss / E[s^2]`.
///
/// The set is [`HELD_OUT`] along the training and [`FINAL`] once at the end; in the row [`MEDIAN`] the median of the
/// final set's losses stands in place of their mean.
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
/// The larger set once more, its losses by their median: heavy tails rule a mean.
const MEDIAN: &str = "final, median";

/// A cell that trains with `settings` and evaluates on `n_final` prompts at the end.
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(crate) fn cell(
    name: String,
    settings: TrainSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Cell> {
    settings.check()?;
    task::find(&settings.task)?;
    attention::parse(&settings.modification)?;
    Ok(Cell::new(
        name,
        weight(&settings, n_final),
        json!({ "kind": "training/3", "settings": settings, "n_final": n_final }),
        schema(),
        move |context| train(context, &settings, n_final, device),
    ))
}

/// Steps and relative losses on a set, of a training cell's result.
fn rows(result: &Table, set: &str) -> anyhow::Result<(Vec<i64>, Vec<f64>)> {
    let (sets, steps) = (result.texts("set")?, result.integers("step")?);
    let losses = result.floats("relative_loss")?;
    let rows = (0..sets.len()).filter(|i| sets[*i] == set);
    Ok(rows.map(|i| (steps[i], losses[i])).unzip())
}

/// Steps and relative losses on the held-out set along the training.
pub(crate) fn held_out(result: &Table) -> anyhow::Result<(Vec<i64>, Vec<f64>)> {
    rows(result, HELD_OUT)
}

/// Relative losses on the final set of training cells' results, in their order.
pub(crate) fn finals(results: &[&Table]) -> anyhow::Result<Vec<f64>> {
    results.iter().map(|result| single(result, FINAL)).collect()
}

/// Median losses on the final set, relative to `E[s^2]`, as [`finals`].
pub(crate) fn medians(results: &[&Table]) -> anyhow::Result<Vec<f64>> {
    results.iter().map(|result| single(result, MEDIAN)).collect()
}

fn single(result: &Table, set: &str) -> anyhow::Result<f64> {
    match rows(result, set)?.1[..] {
        [loss] => Ok(loss),
        ref other => {
            bail!("{}: set {set}: found {} rows, expected one", result.name(), other.len())
        }
    }
}

/// Rough number of operations in units of 1e9, for order of work and remaining time only.
pub(crate) fn weight(settings: &TrainSettings, n_final: usize) -> f64 {
    let (tokens, d) = (settings.prompt.n_tokens() as f64, settings.prompt.d() as f64);
    let heads = settings.n_heads as f64;
    let features = settings.kernel.d_r() as f64;
    let per_prompt = 40.0 * tokens * d
        + heads * (12.0 * tokens * d + 6.0 * d * d)
        + heads * features * tokens * (6.0 * d + 40.0)
        + if settings.modification == "plain" { 0.0 } else { 40.0 * tokens * d * heads };
    let prompts = settings.steps * settings.batch
        + n_final
        + settings.n_validation * (1 + settings.steps / settings.validate_every.max(1));
    per_prompt * prompts as f64 / 1e9
}

fn train(
    context: &Context<'_>,
    settings: &TrainSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let layer = LayerTraining::new(settings.clone(), &machine(device))?;
    let context = training_part(context, settings, n_final);
    watched(&context, &mut layer.trainer(), settings.steps, n_final)
}

/// The context of the training alone, before `n_final` prompts are evaluated.
pub(crate) fn training_part<'a>(
    context: &Context<'a>,
    settings: &TrainSettings,
    n_final: usize,
) -> Context<'a> {
    context.part(0.0, weight(settings, 0) / weight(settings, n_final))
}

/// Runs a trainer to its end: the validation curve, and the loss on `n_final` test prompts.
pub(crate) fn watched(
    context: &Context<'_>,
    trainer: &mut Trainer<'_>,
    steps: usize,
    n_final: usize,
) -> anyhow::Result<Table> {
    let curve = trainer.run(&Kept::new(context)?)?;
    let (last, mut losses) = trainer.evaluate_each(Set::Test, n_final)?;
    let at_end = CurvePoint { step: steps, loss: last.loss, nmse: last.nmse() };
    let middle = losses.len() / 2;
    let loss = *losses.select_nth_unstable_by(middle, f64::total_cmp).1;
    let median = CurvePoint { step: steps, loss, nmse: 2.0 * loss / last.mean_square_target };
    let ends = [(FINAL, &at_end), (MEDIAN, &median)];
    let rows = || curve.iter().map(|point| (HELD_OUT, point)).chain(ends);
    let table = Table::builder("training")
        .texts("set", &rows().map(|row| row.0).collect::<Vec<_>>())
        .integers("step", rows().map(|row| row.1.step as i64).collect())
        .floats("test_loss", rows().map(|row| row.1.loss).collect())
        .floats("relative_loss", rows().map(|row| row.1.nmse).collect())
        .build()?;
    Ok(table)
}
