//! Training runs of stacked layers of linear attention on linear regression in context.
//!
//! Setting of K. Ahn et al. (2023): inputs `x ~ N(0, diag(sd)^2)`, tasks `y = w . x` with `w ~ N(0, diag(sd)^{-2})`, tokens
//! `[x; y]`, one `Q` and one `P` per layer, a residual path around each (`fused::FusedLinearStack` has the equations).
//! An example is a set of demonstrations; its loss is half the squared error in expectation over task and query, which
//! is exact. The last layer's `P` reaches no output and does not exist.

use crate::ModelError;
use crate::fused::{FusedLinearStack, On};
use crate::machine::{KnownRun, Machine};
use crate::objective::{LossAndGradient, Losses, Objective, Set};
use crate::prompt::PromptSampler;
use crate::settings::{LinearStackSettings, RunSettings};
use crate::trainer::{Length, Trainer};

/// Losses of one block of a sum.
pub const BLOCK: usize = 16_384;

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
        let (prompts, isa) = (settings.training(), machine.isa());
        let objective = LinearStackObjective {
            stack: FusedLinearStack::new(settings.layers, &settings.scales),
            training: prompts.training_sampler(isa)?,
            validation: prompts.validation_sampler(isa)?,
            test: prompts.test_sampler(isa)?,
            known: machine.known(|| RunSettings::LinearStack(settings.clone())),
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
        let finished = self.objective.known.as_ref().and_then(KnownRun::finished);
        Trainer::new(&self.objective, length, settings.adam.clone(), settings.parameters())
            .with_finished(finished)
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
    known: Option<KnownRun>,
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

/// `E y^2 = tr(diag(sd)^2 diag(sd)^-2) = d` for every one of `n` examples.
pub fn square_targets(d: usize, n: usize) -> Vec<f64> {
    vec![(d * n) as f64]
}

impl Objective for LinearStackObjective {
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError> {
        let known = self.known.as_ref().filter(|_| set == Set::Test);
        let values = known
            .and_then(|run| run.test_losses(parameters, n))
            .unwrap_or_else(|| self.stack.losses(self.on(), parameters, self.prompts(set), 0, n));
        Ok(Losses { values, square_targets: square_targets(self.training.shape.d_t, n) })
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
