//! Training runs of stacked layers of linear attention on linear regression in context.
//!
//! Setting of K. Ahn et al. (2023): inputs `x ~ N(0, diag(sd)^2)`, tasks `y = w . x` with `w ~ N(0, diag(sd)^{-2})`, tokens
//! `[x; y]`, one `Q` and one `P` per layer, a residual path around each (`fused::FusedLinearStack` has the equations).
//! An example is a set of demonstrations; its loss is half the squared error in expectation over task and query, which
//! is exact. The last layer's `P` reaches no output and does not exist.

use crate::ModelError;
use crate::adam::AdamSettings;
use crate::attention::{ParameterSpec, Parameters};
use crate::fused::{FusedLinearStack, On};
use crate::machine::Machine;
use crate::objective::{LossAndGradient, Losses, Objective, Set};
use crate::prompt::{Inputs, PromptSampler, PromptShape};
use crate::settings::{EVALUATION_SEED, TEST, VALIDATION};
use crate::task::{self, Scale};
use crate::trainer::{Length, Trainer};

/// Losses of one block of a sum.
const BLOCK: usize = 16_384;

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
}

/// A training run of a stack of layers of linear attention.
pub struct LinearStackTraining {
    settings: LinearStackSettings,
    objective: LinearStackObjective,
}

impl LinearStackTraining {
    /// The run of these settings; the processor computes it on every machine.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range.
    pub fn new(settings: LinearStackSettings, machine: &Machine) -> Result<Self, ModelError> {
        settings.check()?;
        let linear = task::find("linear")?;
        let sampler = |seed: u64, purpose: &str| {
            let shape = settings.shape();
            PromptSampler::new(linear, Scale::Raw, shape, seed, purpose, machine.isa())
                .with_inputs(Inputs::Normal)
        };
        let objective = LinearStackObjective {
            stack: FusedLinearStack::new(settings.layers, &settings.scales),
            training: sampler(settings.seed, "train"),
            validation: sampler(EVALUATION_SEED, VALIDATION),
            test: sampler(EVALUATION_SEED, TEST),
            machine: machine.clone(),
        };
        Ok(Self { settings, objective })
    }

    /// A trainer at the start of the run.
    pub fn trainer(&self) -> Trainer<'_> {
        let settings = &self.settings;
        let length = Length {
            steps: settings.steps,
            batch: settings.batch,
            n_validation: settings.n_validation,
            validate_every: settings.validate_every,
        };
        Trainer::new(&self.objective, length, settings.adam.clone(), settings.parameters())
    }

    /// The demonstrations of a set, in units of their standard deviations.
    pub fn prompts(&self, set: Set) -> &PromptSampler {
        self.objective.prompts(set)
    }

    /// What is minimised.
    pub fn objective(&self) -> &dyn Objective {
        &self.objective
    }
}

/// The expected loss over sets of demonstrations.
struct LinearStackObjective {
    stack: FusedLinearStack,
    training: PromptSampler,
    validation: PromptSampler,
    test: PromptSampler,
    machine: Machine,
}

impl LinearStackObjective {
    fn prompts(&self, set: Set) -> &PromptSampler {
        match set {
            Set::Training => &self.training,
            Set::Validation => &self.validation,
            Set::Test => &self.test,
        }
    }

    fn on(&self) -> On<'_> {
        On { isa: self.machine.isa(), threads: &self.machine.threads }
    }
}

impl Objective for LinearStackObjective {
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError> {
        let values = self.stack.losses(self.on(), parameters, self.prompts(set), 0, n);
        // E y^2 = tr(diag(sd)^2 diag(sd)^-2) = d for every example
        Ok(Losses { values, square_targets: vec![(self.training.shape.d_t * n) as f64] })
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        Ok(self.stack.loss_and_gradient(self.on(), parameters, &self.training, first, n))
    }

    fn block(&self) -> usize {
        BLOCK
    }
}
