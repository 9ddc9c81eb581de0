//! Settings of stacks of linear attention.

use super::TrainSettings;
use crate::ModelError;
use crate::adam::AdamSettings;
use crate::attention::{ParameterSpec, Parameters};
use crate::prompt::{Inputs, PromptShape};

/// Everything that determines a run; equal settings give equal bits.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearStackSettings {
    /// Layers.
    pub layers: usize,
    /// Demonstrations.
    pub n_demos: usize,
    /// Standard deviations of the inputs' entries, `[d]`.
    pub scales: Vec<f64>,
    /// Steps.
    pub steps: usize,
    /// Sets of demonstrations per step.
    pub batch: usize,
    /// Optimiser.
    pub adam: AdamSettings,
    /// Standard deviation of the initial weights.
    pub init_std: f64,
    /// Sets of demonstrations of the validation set.
    pub n_validation: usize,
    /// Steps between its losses.
    pub validate_every: usize,
    /// Seed of initial values and demonstrations.
    pub seed: u64,
}

impl LinearStackSettings {
    /// Sizes of a prompt.
    fn shape(&self) -> PromptShape {
        PromptShape { n_demos: self.n_demos, d_t: self.scales.len(), d_s: 1 }
    }

    /// Checks ranges that the types do not.
    ///
    /// # Errors
    /// [`ModelError::Setting`] naming the field, its value and its range.
    pub fn check(&self) -> Result<(), ModelError> {
        PromptShape::new(self.n_demos, self.scales.len(), 1)?;
        let counts = [
            ("layers", self.layers, 1, 48),
            ("steps", self.steps, 0, 10_000_000),
            ("batch", self.batch, 16, 1 << 20),
            ("n_validation", self.n_validation, 16, 1 << 20),
            ("validate_every", self.validate_every, 1, 10_000_000),
        ];
        for (field, found, low, high) in counts {
            if !(low..=high).contains(&found) {
                return Err(ModelError::setting(field, found, format!("{low} to {high}")));
            }
        }
        if !self.batch.is_multiple_of(16) {
            return Err(ModelError::setting("batch", self.batch, "a multiple of 16"));
        }
        if let Some(scale) = self.scales.iter().find(|scale| !(1e-3..=1e3).contains(*scale)) {
            return Err(ModelError::setting("scales", scale, "0.001 to 1000"));
        }
        for (field, found) in
            [("learning_rate", self.adam.learning_rate), ("initial_sd", self.init_std)]
        {
            if !(0.0..=10.0).contains(&found) {
                return Err(ModelError::setting(field, found, "0 to 10"));
            }
        }
        Ok(())
    }

    /// `<layer>.q` of all layers, then `<layer>.p` of all but the last, each `[d, d]`, at their initial values.
    pub fn parameters(&self) -> Parameters {
        let d = self.scales.len();
        let spec = |name: String| ParameterSpec::new(name, &[d, d], self.init_std);
        let q = (0..self.layers).map(|layer| format!("{layer}.q"));
        let p = (1..self.layers).map(|layer| format!("{}.p", layer - 1));
        Parameters::from_specs(q.chain(p).map(spec).collect(), self.seed)
    }

    /// The same prompts, steps and optimiser, as those of a layer.
    pub fn training(&self) -> TrainSettings {
        TrainSettings {
            prompt: self.shape(),
            inputs: Inputs::Normal,
            steps: self.steps,
            batch: self.batch,
            adam: self.adam.clone(),
            n_validation: self.n_validation,
            validate_every: self.validate_every,
            seed: self.seed,
            ..TrainSettings::base()
        }
    }
}
