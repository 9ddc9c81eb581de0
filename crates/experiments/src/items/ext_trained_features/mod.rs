//! Random features in a trained layer: how `z = |q + k|^2` grows along the training, what errors that makes, what theory
//! predicts of them, and how many features other keys and queries with the same scores would need.

mod claims;
mod drawing;
mod judged;
mod layer;
mod measure;
mod needed;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::base_layer;
use artifact::cell::{Cell, Context as CellContext, Results};
use artifact::table::{Schema, Table};
use icl_model::device::Device;
use icl_model::settings::{RunSettings, TrainSettings, Watched};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-trained-features",
    paper: "beyond the paper",
    claim: "Training makes |q + k|² so large that positive features would need millions for an error of a tenth; where the \
         errors can be predicted they are, and other maps, keys and queries need far fewer",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    d_t: usize,
    steps: usize,
    checkpoints: Vec<usize>,
    seeds: u64,
    prompts: usize,
    features: Vec<usize>,
    draws: usize,
    judged_among: usize,
    judged: usize,
    judged_draws: usize,
    error: f64,
}

impl Settings {
    fn train(&self, seed: u64) -> TrainSettings {
        base_layer::settings(self.n_demos, self.d_t, self.steps, seed)
    }

    /// The run of a seed with every step at which some part looks at it.
    fn watched(&self, seed: u64) -> Watched {
        let from = if self.checkpoints[0] > 0 { vec![0] } else { Vec::new() };
        let at = [from, self.checkpoints.clone()].concat();
        Watched { run: RunSettings::Layer(self.train(seed)), at }
    }
}

/// Cells and tables.
const Z: &str = "z";
const MEASURED: &str = "measured";
const JUDGED: &str = "judged";
const NEEDED: &str = "needed";

fn read(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Settings> {
    let settings: Settings = file.typed(context.profile)?;
    let ascending = |list: &[usize]| !list.is_empty() && list.windows(2).all(|w| w[0] < w[1]);
    if !ascending(&settings.checkpoints) || settings.checkpoints.last() != Some(&settings.steps) {
        let found = format!("{:?}", settings.checkpoints);
        return Err(file.refuse(
            "checkpoints",
            &found,
            "ascending steps, the last of them `steps`",
        ));
    }
    if !ascending(&settings.features) || settings.features[0] == 0 {
        let found = format!("{:?}", settings.features);
        return Err(file.refuse("features", &found, "ascending numbers from 1"));
    }
    for (field, found, low, high) in [
        ("features", settings.features[settings.features.len() - 1], 1, 1 << 20),
        ("prompts", settings.prompts, 1, 1024),
        ("draws", settings.draws, 1, 100_000),
        ("judged_among", settings.judged_among, 1, 1024),
        ("judged", settings.judged, 1, settings.judged_among),
        ("judged_draws", settings.judged_draws, 1, 100_000),
        ("steps", settings.steps, 1, 10_000_000),
    ] {
        if !(low..=high).contains(&found) {
            return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
        }
    }
    if !(settings.error > 0.0 && settings.error < 1.0) {
        return Err(file.refuse("error", &settings.error.to_string(), "between 0 and 1"));
    }
    settings
        .train(0)
        .check()
        .map_err(|e| file.refuse("n_demos, d_t, steps", &e.to_string(), "in range"))?;
    Ok(settings)
}

/// What a cell computes of a seed.
type Part = fn(&Settings, u64, Device) -> anyhow::Result<Table>;

/// A part with its name, its columns and its weight.
type Named = (&'static str, Part, fn() -> Schema, f64);

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings = read(file, context)?;
    let features: usize = settings.features.iter().sum();
    let training = settings.steps as f64 / 100.0;
    let drawing = (features * settings.draws * settings.prompts) as f64 / 3e4;
    let parts: [Named; 4] = [
        (Z, needed::along, needed::z_schema, training),
        (MEASURED, measure::measure, measure::schema, training + drawing),
        (JUDGED, judged::judged, judged::schema, drawing / 3.0),
        (NEEDED, needed::needed, needed::schema, training + settings.prompts as f64 / 5.0),
    ];
    let mut cells = Vec::new();
    for seed in 0..settings.seeds {
        let watched = settings.watched(seed);
        for (name, part, schema, weight) in parts {
            let (own, device) = (settings.clone(), context.device);
            cells.push(Cell::new(
                format!("{name}/{seed}"),
                weight,
                json!({
                    "kind": format!("trained-features-{name}/1"), "settings": settings, "watched": watched
                }),
                schema(),
                move |_: &CellContext<'_>| part(&own, seed, device),
            ));
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let stacked = |name: &'static str| -> anyhow::Result<Table> {
        let seeds = (0..settings.seeds).map(|seed| format!("{name}/{seed}"));
        Ok(Table::stack(name, results.each(seeds)?)?)
    };
    let (z, measured) = (stacked(Z)?, stacked(MEASURED)?);
    let (judged, needed) = (stacked(JUDGED)?, stacked(NEEDED)?);
    let claims = claims::claims(settings, &z, &judged, &needed)?;
    let figure = drawing::figure(settings, &z, &measured, &needed)?;
    Ok(Outputs {
        tables: [z, measured, judged, needed]
            .into_iter()
            .map(|table| (table, BTreeMap::new()))
            .collect(),
        figures: vec![(figure, vec![Z, MEASURED, NEEDED])],
        claims,
    })
}
