//! Training a small Transformer in context.
//!
//! The prediction is the s-part of the last layer's output for the query token; loss, prompts, optimiser and
//! held-out sets are those of [`crate::train`]. Two implementations, chosen by the settings: the fused stack,
//! and candle's automatic gradients. The latter are computed for a few prompts at a time and added in order:
//! a weight's gradient sums over all tokens of a chunk, and sums of at most 512 terms have the same bits
//! whatever the CPU's caches.

use crate::ModelError;
use crate::adam::Adam;
use crate::attention::{self, LayerShape, Modification, Parameters, Variable, Weights};
use crate::composite::ops::MAX_INNER;
use crate::fused::{FusedStack, StackShape};
use crate::mask::Mask;
use crate::prompt::{PromptBatch, PromptSource};
use crate::train::{AttentionKind, Evaluation, HELD_OUT_SEED, Path, TestPoint, TrainSettings};
use crate::transformer::TransformerLayer;
use candle_core::{DType, Device, Tensor, Var};
use icl_numerics::lanes::Isa;
use icl_numerics::order;
use std::sync::Arc;

/// Everything that determines a training run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerSettings {
    /// Task, prompts, heads, modification and optimiser; exact softmax attention only.
    pub train: TrainSettings,
    /// Layers.
    pub layers: usize,
    /// Hidden units of the feed-forward part.
    pub hidden: usize,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
}

impl TransformerSettings {
    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        self.train.check()?;
        if self.train.d_r != 0 || self.train.attention != AttentionKind::Paper {
            return Err(ModelError::setting("d_r, attention", self.train.d_r, "softmax attention"));
        }
        for (field, found, high) in [("layers", self.layers, 48), ("hidden", self.hidden, 4096)] {
            if !(1..=high).contains(&found) {
                return Err(ModelError::setting(field, found, format!("1 to {high}")));
            }
        }
        Ok(())
    }

    /// Variables of every layer, `<layer>.<name>`: `w_q`, `w_k`, `w_v`, the modification's, `w_1`, `b_1`,
    /// `w_2`, `b_2`.
    fn variables(&self, modification: &dyn Modification) -> Vec<Variable> {
        let (d, hidden) = (self.train.prompt.d(), self.hidden);
        let projection = [self.train.n_heads, d, d];
        let one = |layer: usize| {
            let attention = ["w_q", "w_k", "w_v"]
                .map(|name| Variable::new(name, &projection, self.train.initial_sd));
            let feed_forward = [
                Variable::new("w_1", &[hidden, d], 1.0 / (d as f64).sqrt()),
                Variable::new("b_1", &[hidden], 0.0),
                Variable::new("w_2", &[d, hidden], 1.0 / (hidden as f64).sqrt()),
                Variable::new("b_2", &[d], 0.0),
            ];
            let all = attention.into_iter().chain(modification.variables(d)).chain(feed_forward);
            all.map(|v| Variable { name: format!("{layer}.{}", v.name), ..v }).collect::<Vec<_>>()
        };
        (0..self.layers).flat_map(one).collect()
    }
}

/// Prompts that one part of an evaluation holds in memory.
const EVALUATED: usize = 512;

/// A trainer.
pub struct TransformerTrainer {
    settings: TransformerSettings,
    source: Box<dyn PromptSource>,
    held_out: Box<dyn PromptSource>,
    final_set: Box<dyn PromptSource>,
    modification: Arc<dyn Modification>,
    parameters: Parameters,
    adam: Adam,
    fused: Option<FusedStack>,
    isa: Isa,
}

impl TransformerTrainer {
    /// A fresh run.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range.
    pub fn new(settings: TransformerSettings, isa: Isa) -> Result<Self, ModelError> {
        settings.check()?;
        let source = |seed: u64, purpose: &str| -> Result<Box<dyn PromptSource>, ModelError> {
            Ok(Box::new(settings.train.sampler(seed, purpose, isa)?))
        };
        let sources = [
            source(settings.train.seed, "train")?,
            source(HELD_OUT_SEED, "held-out")?,
            source(HELD_OUT_SEED, "final")?,
        ];
        Self::with_sources(settings, sources, isa)
    }

    /// A fresh run on other prompts: those of training, of the held-out set and of the final set.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range.
    pub fn with_sources(
        settings: TransformerSettings,
        [source, held_out, final_set]: [Box<dyn PromptSource>; 3],
        isa: Isa,
    ) -> Result<Self, ModelError> {
        settings.check()?;
        let train = &settings.train;
        let modification: Arc<dyn Modification> = attention::parse(&train.modification)?.into();
        let parameters =
            Parameters::from_variables(settings.variables(modification.as_ref()), train.seed);
        let shape = StackShape {
            d: train.prompt.d(),
            n_heads: train.n_heads,
            layers: settings.layers,
            residual: settings.residual,
        };
        let fused = match (train.path, modification.fused()) {
            (Path::Fused, Some(fused)) => Some(FusedStack::new(shape, fused, &parameters)?),
            _ => None,
        };
        Ok(Self {
            source,
            held_out,
            final_set,
            adam: Adam::new(train.adam, parameters.packed().len()),
            modification,
            parameters,
            fused,
            isa,
            settings,
        })
    }

    /// The first `n` prompts of the held-out set.
    pub fn held_out(&self, n: usize) -> PromptBatch {
        self.held_out.batch(0, n)
    }

    /// The parameters now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The layers with the parameters now, in another precision.
    ///
    /// # Errors
    /// If candle cannot build a tensor.
    pub fn layers(&self, dtype: DType) -> Result<Vec<TransformerLayer>, ModelError> {
        let packed = Tensor::new(self.parameters.packed(), &Device::Cpu)?.to_dtype(dtype)?;
        self.layers_of(&packed)
    }

    fn layers_of(&self, packed: &Tensor) -> Result<Vec<TransformerLayer>, ModelError> {
        let all = self.parameters.unpack(packed)?;
        let layer = |layer: usize| {
            let prefix = format!("{layer}.");
            let own = |(name, tensor): (&String, &Tensor)| {
                name.strip_prefix(&prefix).map(|name| (name.to_owned(), tensor.clone()))
            };
            let weights: Weights = all.iter().filter_map(own).collect();
            TransformerLayer {
                shape: LayerShape {
                    d: self.settings.train.prompt.d(),
                    n_heads: self.settings.train.n_heads,
                },
                modification: Arc::clone(&self.modification),
                weights,
                residual: self.settings.residual,
                layer_norm: None,
            }
        };
        Ok((0..self.settings.layers).map(layer).collect())
    }

    /// Squared errors `|prediction - s|^2` of a batch, `[prompts]`.
    fn errors(&self, packed: &Tensor, batch: &PromptBatch) -> Result<Tensor, ModelError> {
        let layers = self.layers_of(packed)?;
        let shape = batch.shape;
        let mut tokens = batch.tokens_tensor(DType::F32, &Device::Cpu)?;
        let Some((last, before)) = layers.split_last() else {
            return Err(ModelError::setting("layers", 0, "at least 1"));
        };
        for layer in before {
            tokens = layer.forward(&tokens, shape.n_demos, &Mask::None)?;
        }
        let prediction = last.query_forward(&tokens)?.narrow(1, shape.d_t, shape.d_s)?;
        let error = (prediction - batch.targets_tensor(DType::F32, &Device::Cpu)?)?;
        Ok(error.sqr()?.sum(1)?)
    }

    /// Loss on the held-out set.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn test(&self) -> Result<Evaluation, ModelError> {
        self.evaluate(self.held_out.as_ref(), self.settings.train.n_test)
    }

    /// Loss over `n` prompts that no training run and no held-out set contains.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn final_evaluation(&self, n: usize) -> Result<Evaluation, ModelError> {
        self.evaluate(self.final_set.as_ref(), n)
    }

    /// Loss over the first `n` prompts of a source.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn evaluate(&self, source: &dyn PromptSource, n: usize) -> Result<Evaluation, ModelError> {
        let (mut losses, mut targets) = (Vec::new(), Vec::new());
        for first in (0..n).step_by(EVALUATED) {
            let batch = source.batch(first as u64, EVALUATED.min(n - first));
            losses.extend(self.losses(&batch)?);
            targets.push(batch.mean_square_target() * batch.n_prompts as f64);
        }
        Ok(Evaluation {
            test_loss: order::sum(&losses) / n as f64,
            mean_square_target: order::sum(&targets) / n as f64,
        })
    }

    /// `1/2 |prediction - s|^2` of every prompt.
    fn losses(&self, batch: &PromptBatch) -> Result<Vec<f64>, ModelError> {
        if let Some(stack) = &self.fused {
            return stack.losses(self.isa, self.parameters.packed(), batch);
        }
        let packed = Tensor::new(self.parameters.packed(), &Device::Cpu)?;
        let errors: Vec<f32> = self.errors(&packed, batch)?.to_vec1()?;
        Ok(errors.into_iter().map(|e| f64::from(e) / 2.0).collect())
    }

    /// One step of Adam on fresh prompts.
    ///
    /// # Errors
    /// [`ModelError::Diverged`] if loss or gradient is not finite.
    pub fn step(&mut self) -> Result<(), ModelError> {
        let first = self.adam.step * self.settings.train.batch as u64;
        let step = self.adam.step as usize + 1;
        let gradient = match &self.fused {
            Some(stack) => {
                let batch = self.source.batch(first, self.settings.train.batch);
                stack.loss_and_gradient(self.isa, self.parameters.packed(), &batch)?.gradient
            }
            None => self.composite_gradient(first)?,
        };
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(ModelError::Diverged { step, what: "a gradient" });
        }
        self.adam.update(self.parameters.packed_mut(), &gradient);
        Ok(())
    }

    /// The gradient of one batch by candle.
    fn composite_gradient(&self, first: u64) -> Result<Vec<f32>, ModelError> {
        let train = &self.settings.train;
        // whole groups of sixteen prompts
        let chunk = (MAX_INNER / train.prompt.n_tokens() / 16).max(1) * 16;
        let mut gradient = vec![0.0_f32; self.parameters.packed().len()];
        for start in (0..train.batch).step_by(chunk) {
            let prompts = self.source.batch(first + start as u64, chunk.min(train.batch - start));
            let packed = Tensor::new(self.parameters.packed(), &Device::Cpu)?;
            let packed = Var::from_tensor(&packed)?;
            let errors = self.errors(packed.as_tensor(), &prompts)?;
            let loss = (errors.sum_all()? * (0.5 / train.batch as f64))?;
            let gradients = loss.backward()?;
            let step = self.adam.step as usize + 1;
            let part = gradients
                .get(packed.as_tensor())
                .ok_or(ModelError::Diverged { step, what: "a missing gradient" })?;
            let part: Vec<f32> = part.to_vec1()?;
            gradient.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
        }
        Ok(gradient)
    }

    /// Trains to the end; test losses at step 0, every `test_every` steps and at the end.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run(&mut self) -> Result<Vec<TestPoint>, ModelError> {
        let mut curve = Vec::new();
        loop {
            let step = self.adam.step as usize;
            let last = step >= self.settings.train.steps;
            if last || step.is_multiple_of(self.settings.train.test_every) {
                curve.push(TestPoint { step, test_loss: self.test()?.test_loss });
            }
            if last {
                return Ok(curve);
            }
            self.step()?;
        }
    }
}
