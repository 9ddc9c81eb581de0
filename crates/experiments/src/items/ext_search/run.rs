//! A run of the search.

use super::{Point, Settings, Subject};
use crate::cells::{machine, training};
use artifact::cell::{Cell, Context};
use artifact::table::Table;
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::settings::{RunSettings, StackSettings, TrainSettings};
use icl_model::training::Training;
use serde_json::json;

/// Name of the cell of a subject at a point.
pub(super) fn name(subject: &Subject, (rate, sd): Point, seed: u64) -> String {
    format!("{}/{rate}/{sd}/{seed}", subject.name)
}

impl Settings {
    /// What a subject is trained with at a point: a stack, or one attention layer if it has no layers.
    pub(super) fn run(
        &self,
        subject: &Subject,
        (learning_rate, initial_sd): Point,
        seed: u64,
    ) -> RunSettings {
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
            // prompts that no figure uses
            evaluation: Some("search".into()),
            seed: self.first_seed + seed,
            ..TrainSettings::base()
        };
        match subject.layers {
            0 => RunSettings::Layer(train),
            layers => {
                let d_ff = self.hidden;
                RunSettings::Stack(StackSettings { train, layers, d_ff, residual: false })
            }
        }
    }
}

/// The cell of a run; its result has the columns of [`training::schema`].
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(super) fn cell(
    name: String,
    run: RunSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Cell> {
    run.check()?;
    icl_model::attention::parse(&run.train().modification)?;
    // a layer with all its queries costs about ten times attention for one query
    let layers = match &run {
        RunSettings::Layer(_) | RunSettings::LinearStack(_) => 1,
        RunSettings::Stack(stack) => 10 * stack.layers,
    };
    let weight = training::weight(&run.train(), n_final) * layers as f64;
    Ok(Cell::new(
        name,
        weight,
        json!({ "kind": "search/2", "settings": run, "n_final": n_final }),
        training::schema(),
        move |context| train(context, &run, n_final, device),
    ))
}

fn train(
    context: &Context<'_>,
    run: &RunSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let part = training::training_part(context, &run.train(), n_final);
    let training = Training::new(run.clone(), &machine(device))?;
    training::watched(&part, &mut training.trainer(), run.train().steps, n_final)
}
