//! A small BERT of one's own: trained on masked words of sentences, alone or in pairs.

use crate::tuning::adamw;
use crate::{GlueError, Row, WordPieces};
use icl_model::attention::{self, Parameters};
use icl_model::bert::config::BertConfig;
use icl_model::bert::{Bert, Head, MaskedWords, Sequence, Text, Walk, variables};
use icl_model::machine::Machine;
use icl_model::objective::CurvePoint;
use icl_model::trainer::{Checkpoint, Length, Trainer};
use serde::{Deserialize, Serialize};

/// Settings of a run.
///
/// Paper gap: the paper starts from a published BERT; these are ours, for models that train in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainSettings {
    /// Seed of the start, the order, the masks and dropout.
    pub seed: u64,
    /// Times through the text, each with other masks.
    pub epochs: usize,
    /// Sequences of a step.
    pub batch: usize,
    /// Largest step size of AdamW.
    pub learning_rate: f64,
    /// Share of the steps in which it rises; it falls to 0 on a line.
    pub warm_up: f64,
    /// Decoupled decay of weights, not of biases and norms.
    pub decay: f64,
    /// Largest norm of a gradient; 0 does not clip.
    pub clip: f64,
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Pretraining {
    /// The parameters of the encoder and of the head of masked words.
    pub parameters: Parameters,
    /// Losses on the sequences that are watched, after every epoch; normalised, the uniform guess has 1.
    pub curve: Vec<CurvePoint>,
}

/// The variables of a model of masked words at their start.
///
/// # Errors
/// If plain attention is not known, which it is.
pub fn start(config: &BertConfig, seed: u64) -> Result<(Bert, Parameters), GlueError> {
    let bert = Bert { config: config.clone(), modification: attention::parse("plain")?.into() };
    let specs = variables::specs(&bert.config, Head::MaskedWords, bert.modification.as_ref());
    Ok((bert, variables::initialised(specs, seed)))
}

/// Trains a plain BERT of these sizes on `training`, watching the loss on `watched`.
///
/// # Errors
/// If the tokenizer refuses a text, a setting is out of range, or training diverges.
pub fn pretrain(
    config: &BertConfig,
    pieces: &WordPieces,
    [training, watched]: [&[Row]; 2],
    settings: &PretrainSettings,
    machine: &Machine,
    checkpoint: &dyn Checkpoint,
) -> Result<Pretraining, GlueError> {
    let sequences = |rows: &[Row]| -> Result<Vec<Sequence>, GlueError> {
        rows.iter().map(|row| pieces.sequence(row)).collect()
    };
    let text = Text { training: sequences(training)?, validation: sequences(watched)? };
    let n_validation = text.validation.len();
    let walk = Walk {
        seed: settings.seed,
        epochs: settings.epochs,
        batch: settings.batch,
        part: settings.batch,
        hidden_dropout: config.hidden_dropout_prob,
        attention_dropout: config.attention_probs_dropout_prob,
    };
    let (bert, start) = start(config, settings.seed)?;
    let machine = (machine.isa(), machine.threads.clone());
    let objective = MaskedWords::new(bert, &start, text, (pieces.masking()?, walk), machine)?;
    let steps = objective.steps();
    let validate_every = (steps / settings.epochs.max(1)).max(1);
    let length = Length { steps, batch: settings.batch, n_validation, validate_every };
    let PretrainSettings { learning_rate, warm_up, decay, clip, .. } = *settings;
    let adam = adamw([learning_rate, warm_up, decay, clip], steps);
    let mut trainer = Trainer::new(&objective, length, adam, start);
    let curve = trainer.run(checkpoint)?;
    Ok(Pretraining { parameters: trainer.into_parameters(), curve })
}
