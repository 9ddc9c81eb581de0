//! One run from a random start: its loss and the query's softmax mass along the training.

use super::floors;
use super::{ENDS, FREE, Settings};
use crate::cells::{machine, training, watched};
use crate::views::heads;
use anyhow::Context as _;
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::Matrix;
use dual_model::floor::Kind;
use dual_model::head::Head;
use icl_model::attention::Parameters;
use icl_model::device::Device;
use icl_model::objective::Set;
use icl_model::prompt::PromptBatch;
use icl_model::settings::{TrainSettings, Watched};
use icl_model::training::LayerTraining;
use icl_numerics::{largest, math, order};
use serde_json::json;

/// Name of a run's cell.
pub(super) fn name(seed: u64) -> String {
    format!("run/{seed}")
}

/// Columns: seed, spread of the start, `w_v[s, s]` at the start, the loss on the final set after training, step, loss on the
/// held-out set (both relative to `E[s^2]`), and the mean softmax mass of the query's own token.
fn schema() -> Schema {
    let float = |name: &str| (name.to_owned(), ColumnType::Float);
    let integer = |name: &str| (name.to_owned(), ColumnType::Integer);
    vec![
        integer("seed"),
        float("initial_sd"),
        float("label_weight"),
        float("final_loss"),
        integer("step"),
        float("relative_loss"),
        float("query_mass"),
    ]
}

pub(super) fn cell(settings: &Settings, train: TrainSettings, device: Device) -> Cell {
    let (every, prompts, n_final) = (settings.watch_every, settings.mass_prompts, settings.n_final);
    let (seed, weight) = (train.seed, training::weight(&train, n_final));
    let watched = watched(train, every);
    let specification = json!({
        "kind": "branches/run/3", "watched": watched, "mass_prompts": prompts, "n_final": n_final
    });
    Cell::new(name(seed), weight, specification, schema(), move |context| {
        run(context, &watched, prompts, n_final, device)
    })
}

fn run(
    context: &Context<'_>,
    watched: &Watched,
    prompts: usize,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let train = &*watched.run.train();
    let layer = LayerTraining::new(train.clone(), &machine(device))?;
    let validation = layer.validation();
    let trainer = layer.trainer();
    let label_weight = label_weight(trainer.parameters(), train.prompt.d())?;
    let (mut steps, mut losses, mut masses) = (Vec::new(), Vec::new(), Vec::new());
    let mut final_loss = f64::NAN;
    trainer.watch(&watched.at, |step, at| {
        steps.push(step as i64);
        losses.push(at.evaluate(Set::Validation, train.n_validation)?.nmse());
        masses.push(query_mass(at.parameters(), &validation, prompts)?);
        context.advance(step as f64 / train.steps.max(1) as f64);
        if step == train.steps {
            final_loss = at.evaluate(Set::Test, n_final)?.nmse();
        }
        anyhow::Ok(())
    })?;
    let n = steps.len();
    let table = Table::builder("run")
        .integers("seed", vec![train.seed as i64; n])
        .floats("initial_sd", vec![train.init_std; n])
        .floats("label_weight", vec![label_weight; n])
        .floats("final_loss", vec![final_loss; n])
        .integers("step", steps)
        .floats("relative_loss", losses)
        .floats("query_mass", masses)
        .build()?;
    Ok(table)
}

/// `w_v[s, s]` of the one head.
fn label_weight(parameters: &Parameters, d: usize) -> anyhow::Result<f64> {
    let w_v = parameters.get("w_v").context("the layer has no `w_v`")?;
    Ok(f64::from(w_v[d * d - 1]))
}

/// Mean softmax weight of the query token for itself.
fn query_mass(parameters: &Parameters, batch: &PromptBatch, n: usize) -> anyhow::Result<f64> {
    let d = batch.shape.d();
    let matrices = heads::of_parameters(parameters, d)?;
    let matrices = matrices.first().context("the layer has no head")?;
    let mass = |p: usize| -> anyhow::Result<f64> {
        let tokens: Vec<f64> = batch.prompt(p).into_iter().map(f64::from).collect();
        let head = Head::project(&Matrix::new(batch.shape.n_tokens(), d, tokens)?, matrices)?;
        let query = head.queries.row(batch.shape.n_demos);
        let scores: Vec<f64> = head.keys.iter_rows().map(|key| order::dot(key, query)).collect();
        let own = scores[batch.shape.n_demos];
        let others: Vec<f64> = scores.iter().map(|score| math::exp(score - own)).collect();
        Ok(1.0 / order::sum(&others))
    };
    let masses: Vec<f64> = (0..n.min(batch.n_prompts)).map(mass).collect::<anyhow::Result<_>>()?;
    order::mean(&masses).context("no prompt")
}

/// The largest mass of the query's own token of a run in the opposed branch: its floor has less than a tenth of it.
const OPPOSED: f64 = 0.01;
/// The smallest share of the aligned floor's mass of a run in that branch.
const ALIGNED: f64 = 0.5;
/// A run that has not left the origin's saddle, where the mass is that of one token among all.
pub(super) const SADDLE: &str = "saddle";

/// Where every run ended: the branch by the softmax mass of the query's own token, and the loss over the branch's floor
/// on the same prompts (over the lower floor for a run in neither).
pub(super) fn ends(runs: &Table, floors: &Table) -> anyhow::Result<Table> {
    let floors = floors::on_same_prompts(floors)?;
    let (seeds, steps) = (runs.integers("seed")?, runs.integers("step")?);
    let (losses, masses) = (runs.floats("final_loss")?, runs.floats("query_mass")?);
    let (weights, sds) = (runs.floats("label_weight")?, runs.floats("initial_sd")?);
    let last = steps.iter().max().copied().context("no step")?;
    let rows: Vec<usize> = (0..steps.len()).filter(|i| steps[*i] == last).collect();
    let of =
        |kind: Kind| floors.iter().find(|floor| floor.branch == kind.name()).context("no floor");
    let (opposed, aligned) = (of(Kind::Opposed)?, of(Kind::Aligned)?);
    let branch = |i: &usize| {
        if masses[*i] <= OPPOSED {
            (opposed.branch.as_str(), opposed.loss)
        } else if masses[*i] >= ALIGNED * aligned.query_mass {
            (aligned.branch.as_str(), aligned.loss)
        } else {
            (SADDLE, largest::least([opposed.loss, aligned.loss]))
        }
    };
    let branches: Vec<(&str, f64)> = rows.iter().map(branch).collect();
    let pick = |values: &[f64]| rows.iter().map(|i| values[*i]).collect::<Vec<f64>>();
    let over = rows.iter().zip(&branches).map(|(i, branch)| losses[*i] / branch.1);
    let drawn =
        rows.iter().map(|i| if seeds[*i] < FREE as i64 { "as the figures" } else { "free" });
    let table = Table::builder(ENDS)
        .integers("seed", rows.iter().map(|i| seeds[*i]).collect())
        .texts("start", &drawn.collect::<Vec<_>>())
        .floats("initial_sd", pick(&sds))
        .floats("label_weight", pick(&weights))
        .floats("final_loss", pick(&losses))
        .floats("query_mass", pick(&masses))
        .texts("branch", &branches.iter().map(|branch| branch.0).collect::<Vec<_>>())
        .floats("over_floor", over.collect())
        .build()?;
    Ok(table)
}

/// The runs of a start, as rows of [`ends`].
pub(super) fn of_start(ends: &Table, start: &str) -> anyhow::Result<Vec<usize>> {
    let starts = ends.texts("start")?;
    Ok((0..starts.len()).filter(|i| starts[*i] == start).collect())
}
