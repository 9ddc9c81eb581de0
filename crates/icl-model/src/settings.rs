//! Everything that determines a training run; equal settings give equal bits.
//!
//! Loss `1/2 |prediction - s|^2` averaged over prompts, fresh prompts every step, Adam, loss on a fixed
//! validation set. Paper gap: the source's optimiser, batch and rates are not at hand; every setting here is ours
//! and stands in the item's TOML with its reason.

use crate::ModelError;
use crate::adam::AdamSettings;
use crate::attention::{LayerShape, Modification, ParameterSpec, Parameters};
use crate::kernel::{Kernel, KernelSettings};
use crate::prompt::{Inputs, Labels, MapEntries, PromptSampler, PromptShape};
use crate::task::{self, Scale};
use icl_numerics::lanes::Isa;

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

/// Where a layer's training starts: the sign of each head's initial `w_v[s, s]`, the weight from a label to itself.
///
/// With the query token in the softmax the layer has two optima, and this sign says which of them training finds; see
/// [`dual_model::floor`](../../dual_model/floor/index.html) and `docs/theory.md`, section 12. Two heads find the best
/// of theirs from opposite signs. With few inputs some seeds leave for another optimum from either sign: the drawn scores may
/// have the other one, or read labels. Starts within a branch keep out of all others (section 14).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The sign as drawn.
    #[default]
    Drawn,
    /// Negative for heads 0, 2, .., positive for heads 1, 3, ..: the better optimum.
    Opposed,
    /// Positive for heads 0, 2, .., negative for heads 1, 3, ..
    Aligned,
    /// As [`Start::Opposed`] with scores to match: `w_k` is `w_q` times the head's sign from inputs and zero from labels,
    /// `w_v` is zero from inputs to labels.
    WithinOpposed,
    /// The same as [`Start::Aligned`].
    WithinAligned,
}

impl Start {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_drawn(&self) -> bool {
        *self == Self::Drawn
    }

    /// Sets the projections of a layer, named `<prefix>w_k` and so on, for tokens of `shape`.
    fn set(self, parameters: &mut Parameters, prefix: &str, shape: PromptShape) {
        let (first, within) = match self {
            Self::Drawn => return,
            Self::Opposed => (-1.0, false),
            Self::Aligned => (1.0, false),
            Self::WithinOpposed => (-1.0, true),
            Self::WithinAligned => (1.0, true),
        };
        let (d, d_t) = (shape.d(), shape.d_t);
        let sign = |head: usize| if head.is_multiple_of(2) { first } else { -first };
        let name = |projection: &str| format!("{prefix}{projection}");
        let queries = parameters.get(&name("w_q")).unwrap_or_default().to_vec();
        let values = parameters.get_mut(&name("w_v")).unwrap_or_default();
        for (head, w_v) in values.chunks_exact_mut(d * d).enumerate() {
            for (i, row) in w_v.chunks_exact_mut(d).enumerate().skip(d_t) {
                row[i] = f32::copysign(row[i], sign(head));
                row[..if within { d_t } else { 0 }].fill(0.0);
            }
        }
        let keys = parameters.get_mut(&name("w_k")).unwrap_or_default();
        let rows = keys.chunks_exact_mut(d).zip(queries.chunks_exact(d)).enumerate();
        for (i, (w_k, w_q)) in rows.filter(|_| within) {
            w_k[d_t..].fill(0.0);
            w_k[..d_t].iter_mut().zip(w_q).for_each(|(k, q)| *k = sign(i / d) * q);
        }
    }
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

/// Settings of a stack of Transformer layers and its training.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSettings {
    /// Task, prompts, heads, modification and optimiser; exact softmax attention only.
    pub train: TrainSettings,
    /// Layers.
    pub layers: usize,
    /// Hidden units of the feed-forward part.
    pub d_ff: usize,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
}

impl StackSettings {
    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        self.train.check()?;
        if self.train.kernel != Kernel::Softmax {
            let found = format!("{:?}", self.train.kernel);
            return Err(ModelError::setting("kernel", found, "softmax in Transformer layers"));
        }
        for (field, found, high) in [("layers", self.layers, 48), ("hidden", self.d_ff, 4096)] {
            if !(1..=high).contains(&found) {
                return Err(ModelError::setting(field, found, format!("1 to {high}")));
            }
        }
        Ok(())
    }

    /// Variables of every layer, `<layer>.<name>`: `w_q`, `w_k`, `w_v`, the modification's, `w_1`, `b_1`,
    /// `w_2`, `b_2`, at their initial values.
    pub fn parameters(&self, modification: &dyn Modification) -> Parameters {
        let (d, d_ff) = (self.train.prompt.d(), self.d_ff);
        let projection = [self.train.n_heads, d, d];
        let one = |layer: usize| {
            let attention = ["w_q", "w_k", "w_v"]
                .map(|name| ParameterSpec::new(name, &projection, self.train.init_std));
            let feed_forward = [
                ParameterSpec::new("w_1", &[d_ff, d], 1.0 / (d as f64).sqrt()),
                ParameterSpec::new("b_1", &[d_ff], 0.0),
                ParameterSpec::new("w_2", &[d, d_ff], 1.0 / (d_ff as f64).sqrt()),
                ParameterSpec::new("b_2", &[d], 0.0),
            ];
            let all = attention.into_iter().chain(modification.variables(d)).chain(feed_forward);
            let named =
                |v: ParameterSpec| ParameterSpec { name: format!("{layer}.{}", v.name), ..v };
            all.map(named).collect::<Vec<_>>()
        };
        let specs = (0..self.layers).flat_map(one).collect();
        let mut start = Parameters::from_specs(specs, self.train.seed);
        for layer in 0..self.layers {
            self.train.start.set(&mut start, &format!("{layer}."), self.train.prompt);
        }
        start
    }
}

/// Settings of a run on prompts: one attention layer, or a stack.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum RunSettings {
    /// One attention layer.
    Layer(TrainSettings),
    /// A stack of Transformer layers.
    Stack(StackSettings),
}

impl RunSettings {
    /// Task, prompts, modification and optimiser.
    pub fn train(&self) -> &TrainSettings {
        match self {
            Self::Layer(train) => train,
            Self::Stack(stack) => &stack.train,
        }
    }

    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::Layer(train) => train.check(),
            Self::Stack(stack) => stack.check(),
        }
    }

    /// All variables at their initial values.
    pub fn parameters(&self, modification: &dyn Modification) -> Parameters {
        match self {
            Self::Layer(train) => train.parameters(modification),
            Self::Stack(stack) => stack.parameters(modification),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention;

    /// Projections `[heads, d, d]` of a layer of two heads for tokens `[t_1, t_2, s]`.
    fn projections(start: Start) -> [Vec<f32>; 3] {
        let prompt = PromptShape { n_demos: 2, d_t: 2, d_s: 1 };
        let settings = TrainSettings { prompt, n_heads: 2, start, ..TrainSettings::base() };
        let plain = attention::parse("plain").unwrap();
        let parameters = settings.parameters(plain.as_ref());
        ["w_q", "w_k", "w_v"].map(|name| parameters.get(name).unwrap().to_vec())
    }

    #[test]
    fn a_start_sets_signs_and_leaves_sizes() {
        let drawn = projections(Start::Drawn);
        for (start, signs) in [(Start::Opposed, [-1.0, 1.0]), (Start::Aligned, [1.0, -1.0])] {
            let set = projections(start);
            assert_eq!(set[..2], drawn[..2]);
            for (head, sign) in signs.into_iter().enumerate() {
                let label = 9 * head + 8;
                assert_eq!(set[2][label], sign * drawn[2][label].abs());
            }
        }
    }

    #[test]
    fn within_a_branch_scores_have_its_sign_and_labels_and_inputs_do_not_mix() {
        let drawn = projections(Start::Drawn);
        for (start, signs) in
            [(Start::WithinOpposed, [-1.0, 1.0]), (Start::WithinAligned, [1.0, -1.0])]
        {
            let [w_q, w_k, w_v] = projections(start);
            assert_eq!(w_q, drawn[0]);
            for (head, sign) in signs.into_iter().enumerate() {
                for i in 0..3 {
                    let row = 9 * head + 3 * i;
                    assert_eq!(w_k[row..row + 2], [sign * w_q[row], sign * w_q[row + 1]]);
                    assert_eq!(w_k[row + 2], 0.0);
                }
                let label = 9 * head + 6;
                assert_eq!(w_v[label..label + 3], [0.0, 0.0, sign * drawn[2][label + 2].abs()]);
                // the rest is as drawn
                assert_eq!(w_v[label - 6..label], drawn[2][label - 6..label]);
            }
        }
    }
}
