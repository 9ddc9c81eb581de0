//! Fine-tuning of a model on a task.

use crate::{Data, GlueError, Model};
use icl_model::adam::{AdamSettings, Group, Schedule};
use icl_model::bert::{Examples, FineTuning, Vocabulary, Walk};
use icl_model::trainer::{Checkpoint, Length, Trainer};
use icl_model::{ModelError, attention::Parameters, objective::CurvePoint};
use serde::{Deserialize, Serialize};

/// Settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuneSettings {
    /// Seed of order and dropout.
    pub seed: u64,
    /// Times through the training set.
    pub epochs: usize,
    /// Examples of a step.
    pub batch: usize,
    /// Examples whose activations are held at a time.
    pub part: usize,
    /// Largest step size of AdamW.
    pub learning_rate: f64,
    /// Share of the steps in which it rises.
    pub warm_up: f64,
    /// Decoupled decay of weights, not of biases and norms.
    pub decay: f64,
    /// Largest norm of a gradient; 0 does not clip.
    pub clip: f64,
    /// Share of dropped entries; none for what the model's folder says.
    pub dropout: Option<f64>,
}

impl Default for TuneSettings {
    /// What is usual for BERT on GLUE, with a step size for small models.
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 3,
            batch: 32,
            part: 32,
            learning_rate: 1e-4,
            warm_up: 0.1,
            decay: 0.01,
            clip: 1.0,
            dropout: None,
        }
    }
}

impl TuneSettings {
    fn check(&self) -> Result<(), ModelError> {
        let share = |field: &str, found: f64| match found {
            found if (0.0..1.0).contains(&found) => Ok(()),
            found => Err(ModelError::setting(field, found, "0 to less than 1")),
        };
        share("warm_up", self.warm_up)?;
        self.dropout.map_or(Ok(()), |dropout| share("dropout", dropout))?;
        for (field, found) in
            [("learning_rate", self.learning_rate), ("decay", self.decay), ("clip", self.clip)]
        {
            if !(0.0..=1e3).contains(&found) {
                return Err(ModelError::setting(field, found, "0 to 1000"));
            }
        }
        Ok(())
    }
}

/// AdamW with a linear rise over a share `warm_up` of the steps and a linear fall, which spares biases and norms the decay.
///
/// Paper gap: the paper does not say how BERT was tuned; this is the way of its authors and their imitators.
pub(crate) fn adamw([learning_rate, warm_up, decay, clip]: [f64; 4], steps: usize) -> AdamSettings {
    let undecayed = |name: &str| Group { name_contains: name.into(), rate: 1.0, decay: 0.0 };
    let warm_up = (warm_up * steps as f64).ceil() as u64;
    AdamSettings {
        learning_rate,
        decay,
        clip,
        schedule: Schedule::WarmUpThenLinear { warm_up, total: steps as u64 },
        groups: vec![undecayed("bias"), undecayed("LayerNorm")],
        ..AdamSettings::default()
    }
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The parameters.
    pub parameters: Parameters,
    /// Losses on `validation` after every epoch.
    pub curve: Vec<CurvePoint>,
    /// Steps taken.
    pub steps: usize,
}

/// Tunes `model` on `training`, watching the loss on `validation`.
///
/// # Errors
/// If a setting is out of range, a label is missing, or training diverges.
pub fn tune(
    model: &Model,
    settings: &TuneSettings,
    training: &Data,
    validation: &Data,
    checkpoint: &dyn Checkpoint,
) -> Result<Tuned, GlueError> {
    settings.check()?;
    let _ = (training.labels()?, validation.labels()?);
    let dropout = |own: f64| settings.dropout.unwrap_or(own);
    let walk = Walk {
        seed: settings.seed,
        epochs: settings.epochs,
        batch: settings.batch,
        part: settings.part,
        hidden_dropout: dropout(model.config.hidden_dropout_prob),
        attention_dropout: dropout(model.config.attention_probs_dropout_prob),
    };
    let (training, validation) =
        (model.examples(&training.rows)?, model.examples(&validation.rows)?);
    let n_validation = validation.len();
    let vocabulary = Vocabulary::of(&model.classifier, training.iter().chain(&validation));
    let (classifier, start) = vocabulary.narrowed(&model.classifier, &model.parameters)?;
    let examples = Examples {
        training: vocabulary.renumbered(training)?,
        validation: vocabulary.renumbered(validation)?,
        test: Vec::new(),
    };
    let tuning = FineTuning::new(classifier, examples, walk)?;
    let steps = tuning.steps();
    let validate_every = steps / settings.epochs.max(1);
    let length = Length { steps, batch: settings.batch, n_validation, validate_every };
    let TuneSettings { learning_rate, warm_up, decay, clip, .. } = *settings;
    let adam = adamw([learning_rate, warm_up, decay, clip], steps);
    let mut trainer = Trainer::new(&tuning, length, adam.clone(), start);
    let curve = trainer.run(checkpoint)?;
    let (narrow, before) = (trainer.into_parameters(), model.parameters.clone());
    let parameters = vocabulary.widened(&narrow, before, &adam, steps as u64);
    Ok(Tuned { parameters, curve, steps })
}
