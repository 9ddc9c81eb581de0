//! Settings of stacks, and of runs of either kind.

use super::{LinearStackSettings, TrainSettings};
use crate::ModelError;
use crate::attention::{Modification, ParameterSpec, Parameters};
use crate::kernel::Kernel;
use std::borrow::Cow;

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

/// Settings of a run on prompts: one attention layer, or a stack of either kind.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum RunSettings {
    /// One attention layer.
    Layer(TrainSettings),
    /// A stack of Transformer layers.
    Stack(StackSettings),
    /// A stack of layers of linear attention.
    LinearStack(LinearStackSettings),
}

impl RunSettings {
    /// Task, prompts, modification and optimiser.
    pub fn train(&self) -> Cow<'_, TrainSettings> {
        match self {
            Self::Layer(train) => Cow::Borrowed(train),
            Self::Stack(stack) => Cow::Borrowed(&stack.train),
            Self::LinearStack(stack) => Cow::Owned(stack.training()),
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
            Self::LinearStack(stack) => stack.check(),
        }
    }

    /// All variables at their initial values.
    pub fn parameters(&self, modification: &dyn Modification) -> Parameters {
        match self {
            Self::Layer(train) => train.parameters(modification),
            Self::Stack(stack) => stack.parameters(modification),
            Self::LinearStack(stack) => stack.parameters(),
        }
    }
}

/// A run and the steps, ascending, at which its parameters are looked at.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// The run.
    pub run: RunSettings,
    /// The steps; the last may be the run's end.
    pub at: Vec<usize>,
}
