//! A run of the search.

use super::{Point, Settings, Subject};
use crate::cells::{machine, training};
use artifact::cell::{Cell, Context};
use artifact::table::Table;
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::model::PromptData;
use icl_model::settings::{StackSettings, TrainSettings};
use icl_model::training::{EVALUATION_SEED, LayerTraining, StackTraining};
use serde_json::json;

/// Name of the cell of a subject at a point.
pub(super) fn name(subject: &Subject, (rate, sd): Point, seed: u64) -> String {
    format!("{}/{rate}/{sd}/{seed}", subject.name)
}

impl Settings {
    /// What a subject is trained with at a point.
    pub(super) fn stack(
        &self,
        subject: &Subject,
        (learning_rate, initial_sd): Point,
        seed: u64,
    ) -> StackSettings {
        let clip = if subject.layers == 0 { 0.0 } else { self.clip };
        let train = TrainSettings {
            modification: subject.modification.clone(),
            n_heads: subject.n_heads,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate,
                clip,
                schedule: self.schedule.over(self.steps),
                ..AdamSettings::default()
            },
            init_std: initial_sd,
            start: self.start,
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed: self.first_seed + seed,
            ..TrainSettings::base()
        };
        StackSettings { train, layers: subject.layers, d_ff: self.hidden, residual: false }
    }
}

/// The cell of a run; its result has the columns of [`training::schema`].
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(super) fn cell(
    name: String,
    stack: StackSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Cell> {
    stack.train.check()?;
    icl_model::attention::parse(&stack.train.modification)?;
    if stack.layers > 0 {
        stack.check()?;
    }
    // a layer with all its queries costs about ten times attention for one query
    let weight = training::weight(&stack.train, n_final) * (10 * stack.layers).max(1) as f64;
    Ok(Cell::new(
        name,
        weight,
        json!({ "kind": "search/1", "settings": stack, "n_final": n_final }),
        training::schema(),
        move |context| train(context, &stack, n_final, device),
    ))
}

/// Training prompts of the seed, and evaluation prompts that no figure uses.
fn prompts(train: &TrainSettings, device: Device) -> anyhow::Result<PromptData> {
    let sampler = |purpose: &str| train.sampler(EVALUATION_SEED, purpose, device.isa());
    Ok(PromptData {
        training: Box::new(train.training_sampler(device.isa())?),
        validation: Box::new(sampler("search/held-out")?),
        test: Box::new(sampler("search")?),
    })
}

fn train(
    context: &Context<'_>,
    stack: &StackSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let (machine, data) = (machine(device), prompts(&stack.train, device)?);
    let part = training::training_part(context, &stack.train, n_final);
    let steps = stack.train.steps;
    if stack.layers == 0 {
        let layer = LayerTraining::with_data(stack.train.clone(), data, &machine)?;
        return training::watched(&part, &mut layer.trainer(), steps, n_final);
    }
    let stack = StackTraining::with_data(stack.clone(), data, &machine)?;
    training::watched(&part, &mut stack.trainer(), steps, n_final)
}
