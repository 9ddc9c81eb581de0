//! Training one attention layer in context.
//!
//! Loss `1/2 |prediction - s|^2` averaged over prompts, fresh prompts every step, Adam, test loss on
//! a fixed held-out set. Paper gap: the source's optimiser, batch and rates are not at hand; every
//! setting here is ours and stands in the item's TOML with its reason.

use crate::ModelError;
use crate::adam::{Adam, AdamSettings};
use crate::attention::{self, LayerShape, Modification, Parameters};
use crate::composite::{AttentionKernel, Layer};
use crate::fused::{FusedKernel, FusedLayer, LossAndGradient};
use crate::prompt::{Inputs, PromptBatch, PromptSampler, PromptShape};
use crate::task::{self, Scale};
use candle_core::{DType, Device, Tensor};
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;

/// Seed of the held-out prompts: the same test set for every run of a task.
pub const HELD_OUT_SEED: u64 = 0;

/// Which implementation trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// The fused kernel.
    Fused,
    /// candle operations.
    Composite,
}

/// Which attention weighs the demonstrations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// The paper's: softmax or features over demonstrations and the query token.
    #[default]
    Paper,
    /// Softmax over the demonstrations only, as in J. von Oswald et al. (2023).
    WithoutQuery,
    /// Linear attention over the demonstrations, `(1/N) sum_i v_i k_i . q`.
    Linear,
}

impl AttentionKind {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_paper(&self) -> bool {
        *self == Self::Paper
    }
}

/// Everything that determines a training run; equal settings give equal bits.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Task id.
    pub task: String,
    /// Scale of `W t`.
    pub scale: Scale,
    /// Sizes of a prompt.
    pub prompt: PromptShape,
    /// Inputs; the paper's unless stated.
    #[serde(default, skip_serializing_if = "Inputs::is_paper")]
    pub inputs: Inputs,
    /// Heads.
    pub n_heads: usize,
    /// Modification, `id:option=value,...`.
    pub modification: String,
    /// Attention; the paper's unless stated.
    #[serde(default, skip_serializing_if = "AttentionKind::is_paper")]
    pub attention: AttentionKind,
    /// Positive random features; 0 for exact softmax.
    pub d_r: usize,
    /// Steps.
    pub steps: usize,
    /// Prompts per step, a multiple of 16.
    pub batch: usize,
    /// Optimiser.
    pub adam: AdamSettings,
    /// Standard deviation of the initial projections.
    pub initial_sd: f64,
    /// Prompts of the held-out set.
    pub n_test: usize,
    /// Steps between test losses.
    pub test_every: usize,
    /// Seed of initial values, prompts and features.
    pub seed: u64,
    /// Implementation.
    pub path: Path,
}

impl TrainSettings {
    /// The base setting, with our optimiser: the linear task, eleven
    /// inputs, fifteen demonstrations, one plain softmax head.
    pub fn base() -> Self {
        Self {
            task: "linear".into(),
            scale: Scale::Raw,
            prompt: PromptShape { n_demos: 15, d_t: 11, d_s: 1 },
            inputs: Inputs::Uniform,
            n_heads: 1,
            modification: "plain".into(),
            attention: AttentionKind::Paper,
            d_r: 0,
            steps: 1000,
            batch: 1024,
            adam: AdamSettings::default(),
            initial_sd: 0.3,
            n_test: 4096,
            test_every: 50,
            seed: 0,
            path: Path::Fused,
        }
    }

    /// The prompts of the stream `(seed, purpose)`.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] for a task that does not exist.
    pub fn sampler(&self, seed: u64, purpose: &str, isa: Isa) -> Result<PromptSampler, ModelError> {
        let task = task::find(&self.task)?;
        let sampler = PromptSampler::new(task, self.scale, self.prompt, seed, purpose, isa);
        Ok(sampler.with_inputs(self.inputs))
    }

    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        PromptShape::new(self.prompt.n_demos, self.prompt.d_t, self.prompt.d_s)?;
        let counts = [
            ("n_heads", self.n_heads, 1, 64),
            ("d_r", self.d_r, 0, crate::fused::MAX_FEATURES),
            ("steps", self.steps, 0, 10_000_000),
            ("batch", self.batch, 16, 1 << 20),
            ("n_test", self.n_test, 16, 1 << 20),
            ("test_every", self.test_every, 1, 10_000_000),
        ];
        for (field, found, low, high) in counts {
            if found < low || found > high {
                return Err(ModelError::setting(field, found, format!("{low} to {high}")));
            }
        }
        self.check_memory()?;
        if !self.attention.is_paper() && self.d_r > 0 {
            return Err(ModelError::setting("d_r", self.d_r, "0 with this attention"));
        }
        if !self.batch.is_multiple_of(16) {
            return Err(ModelError::setting("batch", self.batch, "a multiple of 16"));
        }
        for (field, found, high) in [
            ("learning_rate", self.adam.learning_rate, 10.0),
            ("initial_sd", self.initial_sd, 10.0),
            ("clip", self.adam.clip, 1e12),
        ] {
            if !(0.0..=high).contains(&found) {
                return Err(ModelError::setting(field, found, format!("0 to {high}")));
            }
        }
        Ok(())
    }
}

impl TrainSettings {
    /// Refuses sizes that no memory holds before anything is allocated.
    fn check_memory(&self) -> Result<(), ModelError> {
        let (tokens, d) = (self.prompt.n_tokens() as u64, self.prompt.d() as u64);
        let scores = if self.path == Path::Composite { tokens * self.n_heads as u64 } else { 0 };
        for (field, prompts, size) in
            [("n_test", self.n_test, tokens * d), ("batch", self.batch, tokens * (d + scores))]
        {
            let most = MOST_NUMBERS / size;
            if prompts as u64 > most {
                let expected = format!("at most {most} prompts of {tokens} tokens of size {d}");
                return Err(ModelError::setting(field, prompts, expected));
            }
        }
        Ok(())
    }
}

/// Largest array that a training run may hold: 2^30 numbers are 4 GiB.
const MOST_NUMBERS: u64 = 1 << 30;

/// Test loss after a number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TestPoint {
    /// Steps taken.
    pub step: usize,
    /// Mean of `1/2 |prediction - s|^2` over the held-out set.
    pub test_loss: f64,
}

/// Loss over a set of prompts, and the scale to compare it with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean of `1/2 |prediction - s|^2`.
    pub test_loss: f64,
    /// Mean of `|s|^2`.
    pub mean_square_target: f64,
}

impl Evaluation {
    /// `2 test_loss / E[s^2]`.
    pub fn relative(&self) -> f64 {
        2.0 * self.test_loss / self.mean_square_target
    }
}

/// Prompts that one part of a final evaluation holds in memory.
const FINAL_PART: usize = 16_384;

/// A trainer: parameters, optimiser and everything that does not change.
pub struct Trainer {
    settings: TrainSettings,
    isa: Isa,
    sampler: PromptSampler,
    held_out: PromptBatch,
    modification: Box<dyn Modification>,
    omegas: Vec<f32>,
    fused: Option<FusedLayer>,
    parameters: Parameters,
    adam: Adam,
}

impl Trainer {
    /// A fresh run.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range or a name is unknown. A modification that the fused kernel
    /// does not know is trained by the composite one.
    pub fn new(settings: TrainSettings, isa: Isa) -> Result<Self, ModelError> {
        settings.check()?;
        let shape = settings.prompt;
        let sampler = settings.sampler(settings.seed, "train", isa)?;
        let held_out = settings.sampler(HELD_OUT_SEED, "held-out", isa)?.batch(0, settings.n_test);
        let modification = attention::parse(&settings.modification)?;
        let layer = LayerShape { d: shape.d(), n_heads: settings.n_heads };
        let parameters = Parameters::initialised(
            layer,
            modification.as_ref(),
            settings.initial_sd,
            settings.seed,
        );
        let omegas = draw_omegas(settings.seed, settings.d_r, shape.d());
        let adam = Adam::new(settings.adam, parameters.packed().len());
        let mut trainer = Self {
            settings,
            isa,
            sampler,
            held_out,
            modification,
            omegas,
            fused: None,
            parameters,
            adam,
        };
        trainer.fused = trainer.fused_layer()?;
        Ok(trainer)
    }

    /// The fused layer, if the settings ask for it and the modification has one.
    fn fused_layer(&self) -> Result<Option<FusedLayer>, ModelError> {
        let Some(modification) = self.modification.fused() else {
            return Ok(None);
        };
        if self.settings.path == Path::Composite {
            return Ok(None);
        }
        let kernel = match self.settings.attention {
            AttentionKind::WithoutQuery => FusedKernel::SoftmaxWithoutQuery,
            AttentionKind::Linear => FusedKernel::Linear,
            AttentionKind::Paper if self.omegas.is_empty() => FusedKernel::Softmax,
            AttentionKind::Paper => FusedKernel::Positive(self.omegas.clone()),
        };
        let shape = self.settings.prompt;
        FusedLayer::new(shape, self.settings.n_heads, modification, kernel, &self.parameters)
            .map(Some)
    }

    /// The settings.
    pub fn settings(&self) -> &TrainSettings {
        &self.settings
    }

    /// The parameters now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The optimiser now.
    pub fn adam(&self) -> &Adam {
        &self.adam
    }

    /// The held-out set.
    pub fn held_out(&self) -> &PromptBatch {
        &self.held_out
    }

    /// Rows of the feature matrix, `[d_r, d]`, empty for exact softmax.
    pub fn omegas(&self) -> &[f32] {
        &self.omegas
    }

    /// Continues from saved parameters, and from the saved optimiser if there is one.
    pub fn restore(&mut self, parameters: Parameters, adam: Option<Adam>) {
        let fresh = Adam::new(self.settings.adam, parameters.packed().len());
        self.parameters = parameters;
        self.adam = adam.unwrap_or(fresh);
    }

    /// Test loss on the held-out set.
    ///
    /// # Errors
    /// If candle refuses an operation (composite path only).
    pub fn test_loss(&self) -> Result<f64, ModelError> {
        self.loss(&self.held_out)
    }

    /// Loss over `n` prompts (rounded up to whole parts of 16384) that no training run and no held-out
    /// set contains: large enough for comparisons after training, too large for every 50 steps.
    ///
    /// # Errors
    /// If candle refuses an operation (composite path only).
    pub fn final_evaluation(&self, n: usize) -> Result<Evaluation, ModelError> {
        let sampler = self.settings.sampler(HELD_OUT_SEED, "final", self.isa)?;
        let parts = n.div_ceil(FINAL_PART).max(1);
        let (mut losses, mut squares) = (Vec::new(), Vec::new());
        for part in 0..parts {
            let batch = sampler.batch((part * FINAL_PART) as u64, FINAL_PART);
            losses.push(self.loss(&batch)?);
            squares.push(batch.mean_square_target());
        }
        let mean = |x: &[f64]| icl_numerics::order::sum(x) / parts as f64;
        Ok(Evaluation { test_loss: mean(&losses), mean_square_target: mean(&squares) })
    }

    /// The s-part of `h'_q` for every prompt, `[n_prompts][d_s]`.
    ///
    /// # Errors
    /// If candle refuses an operation (composite path only).
    pub fn predict(&self, batch: &PromptBatch) -> Result<Vec<Vec<f32>>, ModelError> {
        let flat = match &self.fused {
            Some(layer) => layer.predict_rows(self.isa, self.parameters.packed(), batch),
            None => self
                .composite_prediction(&self.packed_tensor()?, batch)?
                .flatten_all()?
                .to_vec1()?,
        };
        Ok(flat.chunks_exact(batch.shape.d_s).map(<[f32]>::to_vec).collect())
    }

    fn loss(&self, batch: &PromptBatch) -> Result<f64, ModelError> {
        if let Some(layer) = &self.fused {
            return Ok(layer.loss(self.isa, self.parameters.packed(), batch));
        }
        let loss = self.composite_loss(&self.packed_tensor()?, batch)?;
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }

    /// One step of Adam on fresh prompts; returns the training loss before it.
    ///
    /// # Errors
    /// [`ModelError::Diverged`] if loss or gradient is not finite.
    pub fn step(&mut self) -> Result<f64, ModelError> {
        let first = self.adam.step * self.settings.batch as u64;
        let LossAndGradient { loss, gradient } = match &self.fused {
            Some(layer) => layer.loss_and_gradient(
                self.isa,
                self.parameters.packed(),
                &self.sampler,
                first,
                self.settings.batch,
            ),
            None => self.composite_gradient(first)?,
        };
        let step = self.adam.step as usize + 1;
        if !loss.is_finite() {
            return Err(ModelError::Diverged { step, what: "the training loss" });
        }
        if !gradient.iter().all(|g| g.is_finite()) {
            return Err(ModelError::Diverged { step, what: "a gradient" });
        }
        self.adam.update(self.parameters.packed_mut(), &gradient);
        Ok(loss)
    }

    /// Trains to the end; test losses at step 0, every `test_every` steps and at the end.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run(&mut self) -> Result<Vec<TestPoint>, ModelError> {
        let mut curve = Vec::new();
        loop {
            let step = self.adam.step as usize;
            let last = step >= self.settings.steps;
            if last || step.is_multiple_of(self.settings.test_every) {
                curve.push(TestPoint { step, test_loss: self.test_loss()? });
            }
            if last {
                return Ok(curve);
            }
            self.step()?;
        }
    }

    fn packed_tensor(&self) -> Result<Tensor, ModelError> {
        Ok(Tensor::new(self.parameters.packed(), &Device::Cpu)?)
    }

    fn composite_gradient(&self, first: u64) -> Result<LossAndGradient, ModelError> {
        let batch = self.sampler.batch(first, self.settings.batch);
        let packed = candle_core::Var::from_tensor(&self.packed_tensor()?)?;
        let loss = self.composite_loss(packed.as_tensor(), &batch)?;
        let gradients = loss.backward()?;
        let gradient = match gradients.get(packed.as_tensor()) {
            Some(gradient) => gradient.to_vec1()?,
            None => {
                return Err(ModelError::Diverged { step: 0, what: "a missing gradient" });
            }
        };
        Ok(LossAndGradient { loss: f64::from(loss.to_scalar::<f32>()?), gradient })
    }

    /// Loss of a batch by candle operations on packed parameters.
    fn composite_loss(&self, packed: &Tensor, batch: &PromptBatch) -> Result<Tensor, ModelError> {
        let prediction = self.composite_prediction(packed, batch)?;
        let error = (prediction - batch.targets_tensor(DType::F32, &Device::Cpu)?)?;
        Ok((error.sqr()?.sum_all()? * (0.5 / batch.n_prompts as f64))?)
    }

    /// Predictions `[n_prompts, d_s]` by candle operations on packed parameters.
    fn composite_prediction(
        &self,
        packed: &Tensor,
        batch: &PromptBatch,
    ) -> Result<Tensor, ModelError> {
        let device = Device::Cpu;
        let shape = self.settings.prompt;
        let kernel = match self.settings.attention {
            AttentionKind::WithoutQuery => AttentionKernel::SoftmaxWithoutQuery,
            AttentionKind::Linear => AttentionKernel::Linear,
            AttentionKind::Paper if self.omegas.is_empty() => AttentionKernel::Softmax,
            AttentionKind::Paper => {
                let rows = (self.omegas.len() / shape.d(), shape.d());
                AttentionKernel::Positive(Tensor::from_slice(&self.omegas, rows, &device)?)
            }
        };
        let layer = Layer {
            shape: LayerShape { d: shape.d(), n_heads: self.settings.n_heads },
            modification: self.modification.as_ref(),
            kernel: &kernel,
        };
        let weights = self.parameters.unpack(packed)?;
        let tokens = batch.tokens_tensor(DType::F32, &device)?;
        let output = layer.query_output(&weights, &tokens)?;
        Ok(output.narrow(1, shape.d_t, shape.d_s)?)
    }
}

/// `omega_r ~ N(0, I_d)`, `[d_r, d]`, row `r` from sample `r` of the stream `(seed, "features")`.
pub fn draw_omegas(seed: u64, d_r: usize, d: usize) -> Vec<f32> {
    let stream = Stream::new(seed, "features");
    let row = |r: usize| {
        let mut draws = stream.sample(r as u64);
        (0..d).map(move |_| draws.normal() as f32).collect::<Vec<_>>()
    };
    (0..d_r).flat_map(row).collect()
}
