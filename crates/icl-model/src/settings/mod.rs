//! Everything that determines a training run; equal settings give equal bits.
//!
//! Loss `1/2 |prediction - s|^2` averaged over prompts, fresh prompts every step, Adam, loss on a fixed
//! validation set. Paper gap: the source's optimiser, batch and rates are not at hand; every setting here is ours
//! and stands in the item's TOML with its reason.

mod linear_stack;
mod runs;
mod start;

pub use linear_stack::LinearStackSettings;
pub use runs::{RunSettings, StackSettings, Watched};
pub use start::Start;

use crate::ModelError;
use crate::adam::AdamSettings;
use crate::attention::{LayerShape, Modification, Parameters};
use crate::kernel::{Kernel, KernelSettings};
use crate::prompt::{Inputs, Labels, MapEntries, PromptSampler, PromptShape};
use crate::task::{self, Scale};
use icl_numerics::lanes::Isa;

/// Seed of validation and test prompts: the same sets for every run of a task.
pub(crate) const EVALUATION_SEED: u64 = 0;
/// Purpose of the stream of validation prompts.
pub(crate) const VALIDATION: &str = "held-out";
/// Purpose of the stream of test prompts.
pub(crate) const TEST: &str = "final";

/// Which implementation trains on a CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The fused kernel; a modification that exists as candle operations only falls back to the reference.
    #[default]
    Fused,
    /// candle operations.
    Reference,
}

/// Settings of one attention layer and its training.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSettings {
    /// Task id.
    pub task: String,
    /// Scale of `W t`.
    pub scale: Scale,
    /// Sizes of a prompt.
    pub prompt: PromptShape,
    /// Distribution of the inputs' entries.
    #[serde(default, skip_serializing_if = "Inputs::is_default")]
    pub inputs: Inputs,
    /// Distribution of the entries of `W`.
    #[serde(default, skip_serializing_if = "MapEntries::is_default")]
    pub map: MapEntries,
    /// Labels; the task's own, the query's masked, unless stated.
    #[serde(default, skip_serializing_if = "Labels::is_neutral")]
    pub labels: Labels,
    /// Tasks of a finite pool from which training prompts have theirs; every prompt has its own without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<usize>,
    /// Heads.
    pub n_heads: usize,
    /// Modification, `id:option=value,...`.
    pub modification: String,
    /// Kernel, its random features by their number.
    pub kernel: KernelSettings,
    /// Steps.
    pub steps: usize,
    /// Prompts per step, a multiple of 16.
    pub batch: usize,
    /// Optimiser.
    pub adam: AdamSettings,
    /// Standard deviation of the initial projections.
    pub init_std: f64,
    /// Signs of the initial values' label entries.
    #[serde(default, skip_serializing_if = "Start::is_drawn")]
    pub start: Start,
    /// Prompts of the validation set.
    pub n_validation: usize,
    /// Steps between its losses.
    pub validate_every: usize,
    /// Validation and test prompts of another name than the figures', for choices that figures must not see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
    /// Seed of initial values, prompts and features.
    pub seed: u64,
    /// Implementation.
    pub backend: Backend,
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
            map: MapEntries::Normal,
            labels: Labels::default(),
            pool: None,
            n_heads: 1,
            modification: "plain".into(),
            kernel: Kernel::Softmax,
            steps: 1000,
            batch: 1024,
            adam: AdamSettings::default(),
            init_std: 0.3,
            start: Start::Drawn,
            n_validation: 4096,
            validate_every: 50,
            evaluation: None,
            seed: 0,
            backend: Backend::Fused,
        }
    }

    /// The prompts of the stream `(seed, purpose)`.
    ///
    /// # Errors
    /// [`ModelError::Unknown`] for a task that does not exist.
    pub fn sampler(&self, seed: u64, purpose: &str, isa: Isa) -> Result<PromptSampler, ModelError> {
        let task = task::find(&self.task)?;
        let sampler = PromptSampler::new(task, self.scale, self.prompt, seed, purpose, isa);
        let sampler = sampler.with_inputs(self.inputs).with_map(self.map);
        Ok(sampler.with_labels(self.labels))
    }

    /// The training prompts, with tasks from the pool `(seed, "pool")` if there is one.
    ///
    /// # Errors
    /// As [`Self::sampler`].
    pub fn training_sampler(&self, isa: Isa) -> Result<PromptSampler, ModelError> {
        let sampler = self.sampler(self.seed, "train", isa)?;
        Ok(match self.pool {
            Some(size) => sampler.with_pool(self.seed, size),
            None => sampler,
        })
    }

    /// The fixed set on which losses are watched: the same for every run of a task.
    ///
    /// # Errors
    /// As [`Self::sampler`].
    pub fn validation_sampler(&self, isa: Isa) -> Result<PromptSampler, ModelError> {
        match &self.evaluation {
            Some(name) => self.sampler(EVALUATION_SEED, &format!("{name}/{VALIDATION}"), isa),
            None => self.sampler(EVALUATION_SEED, VALIDATION, isa),
        }
    }

    /// The larger set for comparisons after training, the same for every run of a task.
    ///
    /// # Errors
    /// As [`Self::sampler`].
    pub fn test_sampler(&self, isa: Isa) -> Result<PromptSampler, ModelError> {
        self.sampler(EVALUATION_SEED, self.evaluation.as_deref().unwrap_or(TEST), isa)
    }

    /// Sizes of the layer.
    pub fn shape(&self) -> LayerShape {
        LayerShape { d: self.prompt.d(), n_heads: self.n_heads }
    }

    /// The layer's variables at their initial values.
    pub fn parameters(&self, modification: &dyn Modification) -> Parameters {
        let mut start =
            Parameters::initialised(self.shape(), modification, self.init_std, self.seed);
        self.start.set(&mut start, "", self.prompt);
        start
    }

    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        PromptShape::new(self.prompt.n_demos, self.prompt.d_t, self.prompt.d_s)?;
        self.labels.check()?;
        let counts = [
            ("n_heads", self.n_heads, 1, 64),
            ("d_r", self.kernel.d_r(), 0, crate::fused::MAX_FEATURES),
            ("pool", self.pool.unwrap_or(1), 1, 1 << 20),
            ("steps", self.steps, 0, 10_000_000),
            ("batch", self.batch, 16, 1 << 20),
            ("n_test", self.n_validation, 16, 1 << 20),
            ("test_every", self.validate_every, 1, 10_000_000),
        ];
        for (field, found, low, high) in counts {
            if found < low || found > high {
                return Err(ModelError::setting(field, found, format!("{low} to {high}")));
            }
        }
        self.check_memory()?;
        if !self.batch.is_multiple_of(16) {
            return Err(ModelError::setting("batch", self.batch, "a multiple of 16"));
        }
        for (field, found, high) in [
            ("learning_rate", self.adam.learning_rate, 10.0),
            ("initial_sd", self.init_std, 10.0),
            ("clip", self.adam.clip, 1e12),
            ("decay", self.adam.decay, 10.0),
        ] {
            if !(0.0..=high).contains(&found) {
                return Err(ModelError::setting(field, found, format!("0 to {high}")));
            }
        }
        Ok(())
    }

    /// Refuses sizes that no memory holds before anything is allocated.
    fn check_memory(&self) -> Result<(), ModelError> {
        let (tokens, d) = (self.prompt.n_tokens() as u64, self.prompt.d() as u64);
        let scores = match self.backend {
            Backend::Reference => tokens * self.n_heads as u64,
            Backend::Fused => 0,
        };
        for (field, prompts, size) in [
            ("n_test", self.n_validation, tokens * d),
            ("batch", self.batch, tokens * (d + scores)),
        ] {
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
