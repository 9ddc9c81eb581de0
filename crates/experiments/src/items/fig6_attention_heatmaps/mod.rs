//! Attention matrices of one trained layer: exact, and with four numbers of positive random features, with their errors
//! over several prompts and draws beside what first order predicts.

mod claims;
mod drawing;
mod measure;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::base_layer;
use artifact::cell::{Cell, Results};
use artifact::table::Table;
use icl_model::device::Device;
use icl_model::settings::TrainSettings;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig6-attention-heatmaps",
    paper: "Appendix: attention matrices for four numbers of features, and exact",
    claim: "The matrix of random-feature attention approaches the exact one as features are added, in a trained layer \
         far more slowly than one over the root of their number",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    d_t: usize,
    steps: usize,
    features: Vec<usize>,
    prompt: usize,
    prompts: usize,
    draws: usize,
}

impl Settings {
    /// The training of the layer that is measured.
    fn train(&self) -> TrainSettings {
        base_layer::settings(self.n_demos, self.d_t, self.steps, 0)
    }
}

fn read(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Settings> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.features.len() < 2 || settings.features.iter().any(|m| *m == 0 || *m > 1 << 20) {
        let found = format!("{:?}", settings.features);
        return Err(file.refuse("features", &found, "at least two numbers, 1 to 1048576"));
    }
    if !settings.features.is_sorted() {
        let found = format!("{:?}", settings.features);
        return Err(file.refuse("features", &found, "ascending numbers"));
    }
    for (field, found, low, high) in [
        ("prompts", settings.prompts, 1, 1024),
        ("prompt", settings.prompt, 0, settings.prompts - 1),
        ("draws", settings.draws, 1, 1024),
    ] {
        if !(low..=high).contains(&found) {
            return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
        }
    }
    let train = settings.train();
    train.check().map_err(|e| file.refuse("n_demos, d_t, steps", &e.to_string(), "in range"))?;
    Ok(settings)
}

/// The cell and the table of the prompt that is shown.
const WEIGHTS: &str = "weights";
/// The cell and the table of the rows of all prompts.
const ROWS: &str = "rows";

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings = read(file, context)?;
    let cells = vec![weights_cell(&settings, context.device), rows_cell(&settings, context.device)];
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn weights_cell(settings: &Settings, device: Device) -> Cell {
    let settings = settings.clone();
    Cell::new(
        WEIGHTS,
        settings.steps as f64 / 100.0,
        json!({ "kind": "attention-heatmaps/2", "settings": settings, "train": settings.train() }),
        measure::weights_schema(),
        move |context| measure::weights(context, &settings, device),
    )
}

fn rows_cell(settings: &Settings, device: Device) -> Cell {
    let settings = settings.clone();
    let features: usize = settings.features.iter().sum();
    Cell::new(
        ROWS,
        settings.steps as f64 / 100.0 + (features * settings.draws * settings.prompts) as f64 / 3e5,
        json!({ "kind": "attention-rows/1", "settings": settings, "train": settings.train() }),
        measure::rows_schema(),
        move |context| measure::rows(context, &settings, device),
    )
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let weights = results.get(WEIGHTS)?.clone();
    let rows = results.get(ROWS)?.clone();
    let prompts = measure::by_prompt(settings, &rows)?;
    let claims = claims::claims(settings, &rows, &prompts)?;
    let figure = drawing::figure(settings, &weights, &prompts)?;
    let tables: Vec<(Table, _)> =
        [weights, rows, prompts].into_iter().map(|table| (table, BTreeMap::new())).collect();
    Ok(Outputs { tables, figures: vec![(figure, vec![WEIGHTS, measure::PROMPTS])], claims })
}
