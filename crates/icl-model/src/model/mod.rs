//! Models that answer prompts, and their objective: half the squared error of the query's label.
//!
//! | | fused kernel | candle operations |
//! |---|---|---|
//! | one attention layer | [`FusedLayerModel`] | [`ReferenceLayer`] |
//! | a stack of Transformer layers | [`FusedStackModel`] | [`ReferenceStack`] |

mod fused;
mod reference;

pub use fused::{FusedLayerModel, FusedStackModel, LAYER_PART, STACK_PART};
pub use reference::{ByCandle, ReferenceLayer, ReferenceStack};

use crate::ModelError;
use crate::machine::KnownRun;
use crate::objective::{LossAndGradient, Losses, Objective, Set};
use crate::prompt::{PromptBatch, PromptSource};
use crate::trainer::Finished;
use std::borrow::Cow;

/// A model that predicts the query's label of prompts.
pub trait PromptModel: Send + Sync {
    /// The s-part of the output for every query, `[n_prompts, d_s]`, row by row.
    ///
    /// # Errors
    /// [`ModelError`] if the prompts do not fit or an operation fails.
    fn predict(&self, parameters: &[f32], batch: &PromptBatch) -> Result<Vec<f32>, ModelError>;

    /// Mean of `1/2 |prediction - s|^2` over the prompts `first .. first + n`, and its gradient.
    ///
    /// # Errors
    /// [`ModelError`] if the prompts do not fit or an operation fails.
    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        prompts: &dyn PromptSource,
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError>;

    /// Prompts that one part of an evaluation holds in memory.
    fn part(&self) -> usize;

    /// See [`Objective::block`].
    fn block(&self) -> usize;
}

/// Losses of a model over the prompts `0 .. n` of a source, part by part.
///
/// # Errors
/// As [`PromptModel::predict`].
pub fn losses(
    model: &dyn PromptModel,
    parameters: &[f32],
    prompts: &dyn PromptSource,
    n: usize,
) -> Result<Losses, ModelError> {
    let mut losses = Losses::default();
    for first in (0..n).step_by(model.part()) {
        let batch = prompts.batch(first as u64, model.part().min(n - first));
        let predictions = model.predict(parameters, &batch)?;
        losses.values.extend(half_squared_errors(&predictions, &batch));
        losses.square_targets.push(batch.mean_square_target() * batch.n_prompts as f64);
    }
    Ok(losses)
}

/// Sums of `|s|^2` over the prompts `0 .. n` of a source, part by part, as [`losses`] has them.
pub fn square_targets(prompts: &dyn PromptSource, n: usize, part: usize) -> Vec<f64> {
    let sum = |first: usize| {
        let batch = prompts.batch(first as u64, part.min(n - first));
        batch.mean_square_target() * batch.n_prompts as f64
    };
    (0..n).step_by(part).map(sum).collect()
}

/// `1/2 |prediction - s|^2` of every prompt, from predictions `[n_prompts, d_s]`.
fn half_squared_errors(predictions: &[f32], batch: &PromptBatch) -> impl Iterator<Item = f64> {
    let (d_s, targets) = (batch.shape.d_s, batch.target_rows());
    (0..batch.n_prompts).map(move |p| {
        let error = |i: usize| f64::from(predictions[i]) - f64::from(targets[i]);
        (p * d_s..(p + 1) * d_s).map(|i| error(i) * error(i) / 2.0).sum()
    })
}

/// The prompts of a training run.
pub struct PromptData {
    /// Fresh prompts of every step.
    pub training: Box<dyn PromptSource>,
    /// The fixed set on which losses are watched.
    pub validation: Box<dyn PromptSource>,
    /// The larger set for comparisons after training.
    pub test: Box<dyn PromptSource>,
}

/// A model with the prompts on which it is trained and judged.
pub struct PromptObjective {
    /// The model.
    pub model: Box<dyn PromptModel>,
    /// The prompts.
    pub data: PromptData,
    /// What is known of the run already; nothing for prompts that the settings do not say.
    pub known: Option<KnownRun>,
}

impl PromptObjective {
    /// The run, if it was trained elsewhere.
    pub fn finished(&self) -> Option<Finished> {
        self.known.as_ref().and_then(KnownRun::finished)
    }

    /// Test losses from elsewhere.
    fn test_losses(&self, parameters: &[f32], n: usize) -> Option<Losses> {
        let values = self.known.as_ref()?.test_losses(parameters, n)?;
        let square_targets = square_targets(self.data.test.as_ref(), n, self.model.part());
        Some(Losses { values, square_targets })
    }
}

impl Objective for PromptObjective {
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError> {
        if set == Set::Test
            && let Some(losses) = self.test_losses(parameters, n)
        {
            return Ok(losses);
        }
        let prompts = match set {
            Set::Training => &self.data.training,
            Set::Validation => &self.data.validation,
            Set::Test => &self.data.test,
        };
        losses(self.model.as_ref(), parameters, prompts.as_ref(), n)
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        self.model.loss_and_gradient(parameters, self.data.training.as_ref(), first, n)
    }

    fn block(&self) -> usize {
        self.model.block()
    }
}

/// The first prompts of a source, kept in memory: a validation set is read again and again.
pub struct Kept<S> {
    source: S,
    batch: PromptBatch,
}

impl<S: PromptSource> Kept<S> {
    /// Keeps the first `n` prompts.
    pub fn new(source: S, n: usize) -> Self {
        let batch = source.batch(0, n).into_owned();
        Self { source, batch }
    }
}

impl<S: PromptSource> PromptSource for Kept<S> {
    fn batch(&self, first: u64, n: usize) -> Cow<'_, PromptBatch> {
        if first == 0 && n == self.batch.n_prompts {
            Cow::Borrowed(&self.batch)
        } else {
            self.source.batch(first, n)
        }
    }
}
