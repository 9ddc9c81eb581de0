//! The paper's table: a BERT with each kind of attention on four tasks of GLUE, from data and models of others.

mod cell;
mod claims;
mod drawing;
mod inference;
mod runs;
mod tables;

use crate::inputs::{Absent, DataFiles, ModelFiles};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::{Cell, Results};
use icl_glue::{Floor, Task};
use icl_model::attention;
use runs::{Floors, Runs};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "tab1-glue",
    paper: "Table 1",
    claim: "What regularised, augmented and negative attention change when a BERT is tuned on tasks of GLUE",
    plan: &plan,
};

/// One value for each task.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct PerTask<T> {
    cola: T,
    mrpc: T,
    stsb: T,
    rte: T,
}

impl<T: Copy> PerTask<T> {
    fn of(&self, task: Task) -> T {
        match task {
            Task::Cola => self.cola,
            Task::Mrpc => self.mrpc,
            Task::StsB => self.stsb,
            Task::Rte => self.rte,
        }
    }
}

/// Paper gap: none of these is said by a source at hand.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Smallest effect of interest, a share of plain's score.
    margin: f64,
    /// Folders of models that the table needs.
    models: Vec<String>,
    /// Folders of models that have rows where they are there.
    optional_models: Vec<String>,
    /// Modifications with their strengths, plain first.
    modifications: Vec<String>,
    seeds: u64,
    epochs: PerTask<usize>,
    learning_rate: PerTask<f64>,
    batch: PerTask<usize>,
    longest: usize,
    warm_up: f64,
    decay: f64,
    clip: f64,
    /// Share of the training set on which settings are chosen; none of it is trained on.
    held_out: f64,
}

/// Modification without any.
const PLAIN: &str = "plain";

impl Settings {
    fn check(&self, file: &SettingsFile) -> anyhow::Result<()> {
        let refuse =
            |field: &str, found: &str, expected: &str| Err(file.refuse(field, found, expected));
        if self.modifications.first().is_none_or(|first| first != PLAIN) {
            return refuse("modifications", &self.modifications.join("; "), "`plain` and others");
        }
        for (i, modification) in self.modifications.iter().enumerate() {
            if let Err(error) = attention::parse(modification) {
                return refuse(
                    &format!("modifications[{i}]"),
                    &error.to_string(),
                    "a modification",
                );
            }
        }
        let distinct: BTreeSet<&String> = self.modifications.iter().collect();
        if distinct.len() < self.modifications.len() {
            return refuse("modifications", "one twice", "each once");
        }
        if !(0.01..=0.5).contains(&self.held_out) {
            return refuse("held_out", &self.held_out.to_string(), "0.01 to 0.5");
        }
        Ok(())
    }
}

/// What the cells are made of: models and data that are there.
struct Sources {
    models: Vec<ModelFiles>,
    data: Vec<DataFiles>,
}

impl Sources {
    fn find(settings: &Settings, context: Context<'_>) -> anyhow::Result<Self> {
        let mut models = Vec::new();
        for name in &settings.models {
            models.push(ModelFiles::find(context.inputs, name)?);
        }
        for name in &settings.optional_models {
            match ModelFiles::find(context.inputs, name) {
                Ok(model) => models.push(model),
                Err(error) if error.is::<Absent>() => {}
                Err(error) => return Err(error),
            }
        }
        let data = Task::ALL.iter().map(|task| DataFiles::find(context.inputs, *task));
        Ok(Self { models, data: data.collect::<anyhow::Result<_>>()? })
    }
}

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    settings.check(file)?;
    let sources = Sources::find(&settings, context)?;
    let mut cells: Vec<Cell> =
        sources.data.iter().map(|data| cell::floors(&settings, data)).collect();
    for model in &sources.models {
        for data in &sources.data {
            for modification in &settings.modifications {
                for seed in 0..settings.seeds {
                    let tuning = cell::Tuning { settings: &settings, modification, seed };
                    cells.push(tuning.cell(model, data, context.device));
                }
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, &sources, results)))
}

/// Name of the cell of a task's floors.
fn floors_name(task: Task) -> String {
    format!("floors/{}", task.id())
}

/// Name of a tuning's cell.
fn tuning_name(model: &str, task: Task, modification: &str, seed: u64) -> String {
    format!("{model}/{}/{modification}/{seed}", task.id())
}

fn assemble(settings: &Settings, sources: &Sources, results: &Results) -> anyhow::Result<Outputs> {
    let mut runs = Vec::new();
    for model in &sources.models {
        for task in Task::ALL {
            for modification in &settings.modifications {
                let names = (0..settings.seeds)
                    .map(|seed| tuning_name(&model.name, task, modification, seed));
                let found = results.each(names)?;
                runs.push(Runs::read(&model.label, task, modification, &found)?);
            }
        }
    }
    let floors: Vec<Floors> = Task::ALL
        .into_iter()
        .map(|task| Floors::read(task, results.get(&floors_name(task))?))
        .collect::<anyhow::Result<_>>()?;
    let comparisons = inference::comparisons(&runs, settings.margin)?;
    let table = tables::table(&runs, &floors)?;
    let figure = drawing::figure(settings, sources, &runs, &floors);
    let exact = BTreeMap::new;
    Ok(Outputs {
        tables: vec![
            (tables::inputs(sources)?, exact()),
            (tables::scores(&runs, &floors)?, exact()),
            (tables::comparison(&comparisons)?, exact()),
            (table, exact()),
        ],
        figures: vec![(figure, vec!["scores"])],
        claims: claims::claims(&runs, &floors, &comparisons)?,
    })
}

/// The floors that a task has.
fn floors_of(task: Task) -> impl Iterator<Item = Floor> {
    Floor::ALL.into_iter().filter(move |floor| floor.applies(task))
}
