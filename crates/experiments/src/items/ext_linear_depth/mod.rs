//! Layers of linear attention over depth, against as many steps of gradient descent and of its preconditioned forms.
//!
//! Losses are `E (prediction - y)^2` in units of the published runs (K. Ahn et al., 2023): expectations over task and
//! query are exact, those over demonstrations are means over one set of prompts for all.

mod claims;
mod constants;
mod drawing;
mod moments;
mod runs;
mod tables;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use icl_model::adam::{AdamSettings, Schedule};
use icl_model::settings::LinearStackSettings;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-linear-depth",
    paper: "beyond the paper",
    claim: "Layers of linear attention learn steps of preconditioned gradient descent, and more: each also reshapes the \
         inputs for the next",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    /// Standard deviations of the inputs' entries.
    scales: Vec<Vec<f64>>,
    /// Depths for each of them.
    layers: Vec<Vec<usize>>,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    beta2: f64,
    initial_sd: f64,
    n_final: usize,
    tuning_prompts: usize,
    seeds: u64,
    expected: bool,
}

impl Settings {
    fn d(&self) -> usize {
        self.scales[0].len()
    }

    /// Every kind of inputs with its depths.
    fn inputs(&self) -> impl Iterator<Item = (&Vec<f64>, &Vec<usize>)> {
        self.scales.iter().zip(&self.layers)
    }

    fn train(&self, scales: &[f64], layers: usize, seed: u64) -> LinearStackSettings {
        LinearStackSettings {
            layers,
            n_demos: self.n_demos,
            scales: scales.to_vec(),
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                beta2: self.beta2,
                schedule: Schedule::Cosine { total: self.steps as u64 },
                ..AdamSettings::default()
            },
            init_std: self.initial_sd,
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed,
        }
    }
}

/// Name of a kind of inputs in tables and figures: their standard deviations.
fn inputs_name(scales: &[f64]) -> String {
    scales.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let found = format!("{:?}, {:?}", settings.scales, settings.layers);
    let first = settings.scales.first();
    if first.is_none_or(|scales| scales.is_empty() || scales.iter().any(|scale| *scale != 1.0)) {
        return Err(file.refuse("scales", &found, "inputs of unit variance first"));
    }
    let d = settings.d();
    if settings.scales.iter().any(|scales| scales.len() != d)
        || settings.layers.len() != settings.scales.len()
        || settings.layers.iter().any(|layers| layers.first() != Some(&1))
        || settings.layers.iter().any(|layers| layers.iter().any(|depth| *depth > 6))
    {
        return Err(file.refuse("layers", &found, "for each of `scales` depths from 1 to 6"));
    }
    if settings.tuning_prompts == 0 || settings.n_final < 2 {
        let found = format!("{}, {}", settings.tuning_prompts, settings.n_final);
        return Err(file.refuse("tuning_prompts, n_final", &found, "at least 1 and 2"));
    }
    let mut cells = Vec::new();
    for (scales, layers) in settings.inputs() {
        for depth in layers {
            for seed in 0..settings.seeds {
                let train = settings.train(scales, *depth, seed);
                train.check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
                cells.push(runs::trained(train, settings.n_final, context.device));
            }
        }
        cells.push(runs::descent(&settings, scales, layers));
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let runs = tables::runs(settings, results)?;
    let descent = tables::descent(settings, results)?;
    let depth = tables::depth(settings, &runs, &descent)?;
    let claims = claims::claims(settings, &runs, &descent)?;
    let figure = drawing::figure(settings, &runs, &depth)?;
    Ok(Outputs {
        tables: [runs, descent, depth].into_iter().map(|t| (t, BTreeMap::new())).collect(),
        figures: vec![(figure, vec!["runs", "depth"])],
        claims,
    })
}
