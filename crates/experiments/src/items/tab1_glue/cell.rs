//! Cells: a model tuned on a task with one modification from one seed, and a task's floors.

use super::{Settings, floors_name, floors_of, tuning_name};
use crate::cells::Kept;
use crate::inputs::{DataFiles, ModelFiles};
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table, TableBuilder};
use icl_glue::{Data, Model, ModelSettings, Row, Task, TuneSettings, tune};
use icl_model::device::Device;
use icl_model::machine::Machine;
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use serde_json::json;

/// Rows on which settings are chosen.
pub(super) const SELECTION: &str = "selection";
/// Rows on which scores are reported.
pub(super) const DEV: &str = "dev";

/// Rows on which a run's loss is watched; no decision uses it.
const WATCHED: usize = 32;

/// A tuning of the grid.
pub(super) struct Tuning<'a> {
    pub(super) settings: &'a Settings,
    pub(super) modification: &'a str,
    pub(super) seed: u64,
}

/// Predictions: set, row of the set, label, prediction.
fn tuning_schema() -> Schema {
    vec![
        ("set".into(), ColumnType::Text),
        ("row".into(), ColumnType::Integer),
        ("label".into(), ColumnType::Float),
        ("prediction".into(), ColumnType::Float),
    ]
}

impl Tuning<'_> {
    fn tune_settings(&self, task: Task) -> TuneSettings {
        let Settings { batch, warm_up, decay, clip, epochs, learning_rate, .. } = self.settings;
        TuneSettings {
            seed: self.seed,
            epochs: epochs.of(task),
            batch: batch.of(task),
            part: batch.of(task),
            learning_rate: learning_rate.of(task),
            warm_up: *warm_up,
            decay: *decay,
            clip: *clip,
            dropout: None,
        }
    }

    pub(super) fn cell(&self, model: &ModelFiles, data: &DataFiles, device: Device) -> Cell {
        let task = data.task;
        let settings = self.tune_settings(task);
        let model_settings = ModelSettings {
            modification: self.modification.to_owned(),
            longest: self.settings.longest,
            seed: self.seed,
        };
        let held_out = self.settings.held_out;
        let specification = json!({
            "kind": "glue-tuning/1",
            "task": task.id(),
            "train": data.train.sha256,
            "dev": data.dev.sha256,
            "model": model.digests(),
            "model_settings": model_settings,
            "settings": settings,
            "held_out": held_out,
        });
        let name = tuning_name(&model.name, task, self.modification, self.seed);
        let weight = weight(model, data, settings.epochs);
        let (model, data) = (model.clone(), data.clone());
        Cell::new(name, weight, specification, tuning_schema(), move |context| {
            let split = Splits::read(&data, held_out)?;
            model.check()?;
            // one thread: there are cells enough for all
            let machine = Machine::new(device, Threads::One);
            let model = Model::open(&model.folder, task, &model_settings, &machine)?;
            tuned(context, &model, &settings, &split)
        })
    }
}

/// Rough cost, for order of work and remaining time only.
fn weight(model: &ModelFiles, data: &DataFiles, epochs: usize) -> f64 {
    let (layers, d) = (model.config.num_hidden_layers as f64, model.config.hidden_size as f64);
    // characters to word pieces; the step of the table of words counts as much as a layer of a small model
    let tokens = data.train.bytes as f64 / 5.0 * epochs as f64;
    tokens * (layers * d * d + 20.0 * d) / 1e9
}

/// The parts of a task's data.
struct Splits {
    training: Data,
    selection: Data,
    dev: Data,
}

impl Splits {
    /// Held out is the end of a random order of the training set, the same for every tuning.
    fn read(data: &DataFiles, held_out: f64) -> anyhow::Result<Self> {
        let whole = data.train.rows(data.task)?;
        let n = whole.rows.len();
        let order =
            Stream::new(0, &format!("tab1-glue/{}", data.task.id())).sample(0).permutation(n);
        let first =
            n - ((held_out * n as f64).round() as usize).clamp(1, n.saturating_sub(1).max(1));
        let part = |rows: &[usize]| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            let rows: Vec<Row> = rows.into_iter().map(|i| whole.rows[i].clone()).collect();
            Data { rows, ..whole.clone() }
        };
        let (training, selection) = (part(&order[..first]), part(&order[first..]));
        Ok(Self { training, selection, dev: data.dev.rows(data.task)? })
    }
}

fn tuned(
    context: &Context<'_>,
    model: &Model,
    settings: &TuneSettings,
    splits: &Splits,
) -> anyhow::Result<Table> {
    let kept = Kept::new(&context.part(0.0, 0.97))?;
    let watched = Data {
        rows: splits.selection.rows.iter().take(WATCHED).cloned().collect(),
        ..splits.selection.clone()
    };
    let tuned = tune(model, settings, &splits.training, &watched, &kept)?;
    let mut rows = Predicted::default();
    for (set, data) in [(SELECTION, &splits.selection), (DEV, &splits.dev)] {
        let found = model.predict(tuned.parameters.packed(), &data.rows)?;
        rows.add("", set, data, found.predictions)?;
    }
    Ok(rows.table("tuning").build()?)
}

/// Predictions that become a table.
#[derive(Default)]
struct Predicted {
    floors: Vec<&'static str>,
    sets: Vec<&'static str>,
    rows: Vec<i64>,
    labels: Vec<f64>,
    predictions: Vec<f64>,
}

impl Predicted {
    /// Adds predictions for all rows of a set.
    fn add(
        &mut self,
        floor: &'static str,
        set: &'static str,
        data: &Data,
        predictions: Vec<f64>,
    ) -> anyhow::Result<()> {
        let n = data.rows.len();
        self.floors.extend(std::iter::repeat_n(floor, n));
        self.sets.extend(std::iter::repeat_n(set, n));
        self.rows.extend(0..n as i64);
        self.labels.extend(data.labels()?);
        self.predictions.extend(predictions);
        Ok(())
    }

    /// The columns of [`tuning_schema`].
    fn table(self, name: &str) -> TableBuilder {
        self.extended(Table::builder(name))
    }

    /// With the column of floors before them.
    fn table_of_floors(self, name: &str) -> TableBuilder {
        let builder = Table::builder(name).texts("floor", &self.floors);
        self.extended(builder)
    }

    fn extended(self, builder: TableBuilder) -> TableBuilder {
        let builder = builder.texts("set", &self.sets).integers("row", self.rows);
        builder.floats("label", self.labels).floats("prediction", self.predictions)
    }
}

/// The cell of a task's floors, which learn from what the models are tuned on.
pub(super) fn floors(settings: &Settings, data: &DataFiles) -> Cell {
    let held_out = settings.held_out;
    let specification = json!({
        "kind": "glue-floors/1",
        "task": data.task.id(),
        "train": data.train.sha256,
        "dev": data.dev.sha256,
        "held_out": held_out,
    });
    let schema = [("floor".to_owned(), ColumnType::Text)].into_iter().chain(tuning_schema());
    let (name, data) = (floors_name(data.task), data.clone());
    Cell::new(name, 0.1, specification, schema.collect(), move |_| floor_table(&data, held_out))
}

fn floor_table(data: &DataFiles, held_out: f64) -> anyhow::Result<Table> {
    let task = data.task;
    let Splits { training, selection, dev } = Splits::read(data, held_out)?;
    let mut rows = Predicted::default();
    for floor in floors_of(task) {
        for (set, data) in [(SELECTION, &selection), (DEV, &dev)] {
            let found = floor.predict(task, &training.rows, &data.rows)?;
            rows.add(floor.name(), set, data, found)?;
        }
    }
    Ok(rows.table_of_floors("floors").build()?)
}
