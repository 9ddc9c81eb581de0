//! Three ways to learn from the same pairs, from the same weights: without negatives, with the other demonstrations as
//! negatives, and in context.

mod claims;
mod drawing;
mod learning;

use crate::item::{Context, Item, Outputs, Plan};
use crate::scheme::matrices::{self, MATRICES};
use crate::scheme::prompt::Settings;
use crate::settings::SettingsFile;
use artifact::cell::{Cell, Results};
use icl_model::device::Device;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig2-representation-lens",
    paper: "Figure 2",
    claim: "One step of learning without negatives is what attention does in context; a contrastive step is attention to \
         values less a softmax mean of them, and neither makes every pair more similar",
    plan: &plan,
};

/// The cell and the table of the held-out prompts.
const PROMPTS: &str = "prompts";

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context.profile)?;
    if settings.temperature <= 0.0 {
        let found = settings.temperature.to_string();
        return Err(file.refuse("temperature", &found, "a positive number"));
    }
    if settings.prompts < 2 {
        return Err(file.refuse("prompts", &settings.prompts.to_string(), "at least 2"));
    }
    let cells = cells(&settings, context.device);
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn cells(settings: &Settings, device: Device) -> Vec<Cell> {
    let (one, all) = (settings.clone(), settings.clone());
    vec![
        Cell::new(
            MATRICES,
            0.01,
            json!({ "kind": "representation-lens/2", "settings": settings, "run": settings.layer() }),
            matrices::schema(),
            move |_| learning::matrices(&one, device),
        ),
        Cell::new(
            PROMPTS,
            settings.prompts as f64 / 1e4,
            json!({ "kind": "representation-lens-prompts/1", "settings": settings, "run": settings.layer() }),
            learning::prompts_schema(),
            move |_| learning::prompts(&all, device),
        ),
    ]
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let matrices = results.get(MATRICES)?.clone();
    let prompts = results.get(PROMPTS)?.clone();
    let claims = claims::claims(settings, &matrices, &prompts)?;
    let figure = drawing::figure(settings, &matrices, &prompts)?;
    Ok(Outputs {
        tables: vec![(matrices, BTreeMap::new()), (prompts, BTreeMap::new())],
        figures: vec![(figure, vec![MATRICES, PROMPTS])],
        claims,
    })
}
