//! The cells: one pre-training, then every fine-tuning of a task and seed from it.

use super::settings::{BAG, MAJORITY, PLAIN, Settings, UNTRAINED};
use crate::cells::Kept;
use anyhow::anyhow;
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table};
use icl_glue::grammar::{self, LONGEST, documents, lexicon};
use icl_glue::{
    Data, Floor, Model, ModelSettings, Pretraining, Score, Task, TuneSettings, WordPieces, metric,
    pretrain, pretraining, tune,
};
use icl_model::attention::Parameters;
use icl_model::bert::{Pretrained, folder};
use icl_model::device::Device;
use icl_model::machine::Machine;
use icl_model::trainer::Unkept;
use icl_numerics::threads::Threads;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Cell and table of the pre-training's losses.
pub(super) const PRETRAINING: &str = "pretraining";
/// Documents that are watched stand far behind those that are trained on.
const WATCHED_FROM: u64 = 1 << 32;
/// Rows on which fine-tuning is watched.
const WATCHED_ROWS: usize = 8;

/// The pre-trained model, which all cells share: a function of the settings, computed by the first that needs it.
struct Base {
    settings: Settings,
    machine: Machine,
    trained: OnceLock<Result<Pretraining, String>>,
}

/// All cells of the item.
pub(super) fn cells(settings: &Settings, device: Device) -> Vec<Cell> {
    // one thread: whoever waits for the pre-training must not be the one who computes it
    let machine = Machine::new(device, Threads::One);
    let base = Base { settings: settings.clone(), machine, trained: OnceLock::new() };
    let base = Arc::new(base);
    let mut cells = vec![pretraining_cell(&base)];
    for task in settings.tasks() {
        cells.extend((0..settings.seeds).map(|seed| task_cell(&base, task, seed)));
    }
    cells
}

/// Name of the cell of a task and seed.
pub(super) fn name(task: Task, seed: u64) -> String {
    format!("{}/{seed}", task.id())
}

/// What the pre-trained model depends on.
fn specification(settings: &Settings) -> serde_json::Value {
    json!({
        "model": settings.model,
        "documents": settings.documents,
        "watched": settings.watched,
        "pretraining": settings.pretraining,
    })
}

/// Operations of so many passes over sequences in units of 1e9, roughly.
fn weight(settings: &Settings, passes: usize) -> f64 {
    let shape = settings.model;
    let map = shape.hidden * (4 * shape.hidden + 2 * shape.feed_forward);
    (passes * shape.layers * map * 24 * 6) as f64 / 1e9
}

fn pretraining_cell(base: &Arc<Base>) -> Cell {
    let settings = &base.settings;
    let schema = ["loss", "relative_loss"].map(|name| (name.to_owned(), ColumnType::Float));
    let steps = ("step".to_owned(), ColumnType::Integer);
    let schema: Schema = std::iter::once(steps).chain(schema).collect();
    let specification = json!({ "kind": "grammar-pretraining/1", "base": specification(settings) });
    let passes = settings.documents * settings.pretraining.epochs;
    let base = Arc::clone(base);
    Cell::new(PRETRAINING, weight(settings, passes), specification, schema, move |context| {
        let curve = &base.pretrained(context)?.curve;
        let table = Table::builder(PRETRAINING)
            .integers("step", curve.iter().map(|point| point.step as i64).collect())
            .floats("loss", curve.iter().map(|point| point.loss).collect())
            .floats("relative_loss", curve.iter().map(|point| point.nmse).collect())
            .build()?;
        anyhow::Ok(table)
    })
}

fn task_cell(base: &Arc<Base>, task: Task, seed: u64) -> Cell {
    let settings = &base.settings;
    let schema = vec![
        ("setting".to_owned(), ColumnType::Text),
        ("metric".to_owned(), ColumnType::Text),
        ("score".to_owned(), ColumnType::Float),
    ];
    let specification = json!({
        "kind": "grammar-glue/1",
        "base": specification(settings),
        "task": task.id(),
        "seed": seed,
        "modifications": settings.modifications,
        "sizes": [settings.sizes().train, settings.sizes().dev],
        "tuning": settings.tuning,
    });
    let runs = settings.modifications.len() + 2;
    let passes = settings.sizes().train * settings.tuning.epochs * runs;
    let base = Arc::clone(base);
    Cell::new(name(task, seed), weight(settings, passes), specification, schema, move |context| {
        base.scores(context, task, seed)
    })
}

impl Base {
    fn pieces() -> anyhow::Result<WordPieces> {
        Ok(WordPieces::from_vocabulary(&lexicon::vocabulary(), LONGEST)?)
    }

    fn pretrained(&self, context: &Context<'_>) -> anyhow::Result<&Pretraining> {
        let compute = || -> anyhow::Result<Pretraining> {
            let Settings { documents: n, watched, pretraining, model, .. } = &self.settings;
            let text = documents(pretraining.seed, 0, *n);
            let watched = documents(pretraining.seed, WATCHED_FROM, *watched);
            let (config, pieces) = (model.config(), Self::pieces()?);
            let (machine, kept) = (&self.machine, Kept::new(context)?);
            Ok(pretrain(&config, &pieces, [&text, &watched], pretraining, machine, &kept)?)
        };
        let trained = self.trained.get_or_init(|| compute().map_err(|e| format!("{e:#}")));
        trained.as_ref().map_err(|error| anyhow!("pre-training: {error}"))
    }

    /// Scores of floors and models on the split dev of a task's set: rows of setting, metric, score.
    fn scores(&self, context: &Context<'_>, task: Task, seed: u64) -> anyhow::Result<Table> {
        let [train, dev] = data(task, grammar::rows(seed, task, self.settings.sizes()))?;
        let (_, start) = pretraining::start(&self.settings.model.config(), seed)?;
        let tuned = |modification: &str, parameters: &Parameters| {
            self.tuned(task, seed, modification, parameters, [&train, &dev])
        };
        let mut said = vec![
            (MAJORITY, Floor::Majority.predict(task, &train.rows, &dev.rows)?),
            (BAG, Floor::BagOfWords.predict(task, &train.rows, &dev.rows)?),
            (UNTRAINED, tuned(PLAIN, &start)?),
        ];
        // the last part of the cell, or all of it where this cell has to pre-train
        let parameters = &self.pretrained(&context.part(0.1, 0.5))?.parameters;
        let modifications = self.settings.modifications.iter().map(String::as_str);
        let runs: Vec<&str> = std::iter::once(PLAIN).chain(modifications).collect();
        for (i, modification) in runs.iter().enumerate() {
            said.push((modification, tuned(modification, parameters)?));
            context.advance(0.5 + 0.5 * (i + 1) as f64 / runs.len() as f64);
        }
        let (mut settings, mut metrics, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        for (setting, predictions) in &said {
            for score in metric::scores(task, predictions, &dev.labels()?)? {
                settings.push(*setting);
                metrics.push(score.name);
                scores.push(defined(score, predictions));
            }
        }
        let table = Table::builder("scores")
            .texts("setting", &settings)
            .texts("metric", &metrics)
            .floats("score", scores)
            .build()?;
        Ok(table)
    }

    /// Predictions on dev after fine-tuning from `parameters`, which go through the bytes of a model's file.
    fn tuned(
        &self,
        task: Task,
        seed: u64,
        modification: &str,
        parameters: &Parameters,
        [train, dev]: [&Data; 2],
    ) -> anyhow::Result<Vec<f64>> {
        let bytes = folder::to_safetensors(parameters)?;
        let pretrained = Pretrained::from_safetensors(self.settings.model.config(), &bytes)?;
        let own = ModelSettings { modification: modification.to_owned(), longest: LONGEST, seed };
        let model = Model::new(pretrained, Self::pieces()?, task, &own, &self.machine)?;
        let settings = TuneSettings { seed, ..self.settings.tuning.clone() };
        // nothing is chosen by the loss along the way
        let few =
            Data { rows: dev.rows.iter().take(WATCHED_ROWS).cloned().collect(), ..dev.clone() };
        let tuned = tune(&model, &settings, train, &few, &Unkept)?;
        Ok(model.predict(tuned.parameters.packed(), &dev.rows)?.predictions)
    }
}

/// The splits of a set, by way of GLUE's files.
fn data(task: Task, rows: [Vec<icl_glue::Row>; 2]) -> anyhow::Result<[Data; 2]> {
    let read = |name: &str, rows: &[icl_glue::Row]| -> anyhow::Result<Data> {
        Ok(Data::from_bytes(Path::new(name), task, grammar::tsv(task, rows).into_bytes())?)
    };
    let [train, dev] = rows;
    Ok([read("train.tsv", &train)?, read("dev.tsv", &dev)?])
}

/// A score; the correlation with a constant, which is not defined, counts as none. Any other NaN stays, and the table
/// refuses it.
fn defined(score: Score, predictions: &[f64]) -> f64 {
    let constant = predictions.iter().all(|x| x.is_finite() && *x == predictions[0]);
    if score.value.is_nan() && constant { 0.0 } else { score.value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_correlation_with_a_constant_counts_as_none() {
        let nan = Score { name: "pearson", value: f64::NAN };
        assert_eq!(defined(nan, &[2.5, 2.5]), 0.0);
        assert!(defined(nan, &[2.5, 2.0]).is_nan() && defined(nan, &[f64::NAN; 2]).is_nan());
        assert_eq!(defined(Score { name: "f1", value: 0.5 }, &[1.0, 1.0]), 0.5);
    }
}
