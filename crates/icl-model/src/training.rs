//! Training runs from settings: the model, its prompts, and where the run starts.

use crate::ModelError;
use crate::attention::{self, Modification, Parameters};
use crate::device::Device;
use crate::fused::{FusedLayer, FusedStack, StackShape};
use crate::kernel::AttentionKernel;
use crate::linear_stack::LinearStackTraining;
use crate::machine::Machine;
use crate::model::{
    self, ByCandle, FusedLayerModel, FusedStackModel, Kept, PromptData, PromptModel,
    PromptObjective, ReferenceLayer, ReferenceStack,
};
use crate::objective::{Evaluation, Losses};
use crate::prompt::{PromptBatch, PromptSource};
use crate::reference::TransformerLayer;
use crate::settings::{Backend, RunSettings, StackSettings, TrainSettings};
use crate::trainer::{Length, Trainer};
use candle_core::{DType, Tensor};
use std::borrow::Cow;
use std::sync::Arc;

/// A training run of one attention layer.
pub struct LayerTraining {
    settings: TrainSettings,
    kernel: AttentionKernel,
    start: Parameters,
    objective: PromptObjective,
}

impl LayerTraining {
    /// The run of these settings. On a GPU the reference computes it, whatever the backend.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range or a name is unknown.
    pub fn new(settings: TrainSettings, machine: &Machine) -> Result<Self, ModelError> {
        settings.check()?;
        let data = data(&settings, machine.device)?;
        let known = machine.known(|| RunSettings::Layer(settings.clone()));
        let training = Self::with_data(settings, data, machine)?;
        Ok(Self { objective: PromptObjective { known, ..training.objective }, ..training })
    }

    /// The run of these settings on other prompts.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range or a name is unknown.
    pub fn with_data(
        settings: TrainSettings,
        data: PromptData,
        machine: &Machine,
    ) -> Result<Self, ModelError> {
        settings.check()?;
        let modification: Arc<dyn Modification> = attention::parse(&settings.modification)?.into();
        let start = settings.parameters(modification.as_ref());
        let kernel = settings.kernel.drawn(settings.seed, settings.prompt.d());
        let terms = modification.terms().filter(|_| settings.backend == Backend::Fused);
        let model: Box<dyn PromptModel> = match (terms, machine.device) {
            (Some(terms), Device::Cpu(isa)) => {
                let (shape, kernel) = (settings.prompt, kernel.clone());
                let layer = FusedLayer::new(shape, settings.n_heads, terms, kernel, &start)?;
                Box::new(FusedLayerModel { layer, isa, threads: machine.threads.clone() })
            }
            _ => Box::new(ByCandle(ReferenceLayer {
                shape: settings.shape(),
                modification,
                kernel: kernel.clone(),
                layout: start.clone(),
                device: machine.device,
            })),
        };
        let objective = PromptObjective { model, data, known: None };
        Ok(Self { settings, kernel, start, objective })
    }

    /// The settings.
    pub fn settings(&self) -> &TrainSettings {
        &self.settings
    }

    /// The kernel, with its features.
    pub fn kernel(&self) -> &AttentionKernel {
        &self.kernel
    }

    /// A trainer at the start of the run.
    pub fn trainer(&self) -> Trainer<'_> {
        let adam = self.settings.adam.clone();
        Trainer::new(&self.objective, length(&self.settings), adam, self.start.clone())
            .with_finished(self.objective.finished())
    }

    /// The validation set.
    pub fn validation(&self) -> Cow<'_, PromptBatch> {
        self.objective.data.validation.batch(0, self.settings.n_validation)
    }

    /// Losses over the first `n` prompts of any source.
    ///
    /// # Errors
    /// If an operation fails.
    pub fn losses(
        &self,
        parameters: &Parameters,
        prompts: &dyn PromptSource,
        n: usize,
    ) -> Result<Losses, ModelError> {
        model::losses(self.objective.model.as_ref(), parameters.packed(), prompts, n)
    }

    /// The s-part of `h'_q` for every prompt, `[n_prompts][d_s]`.
    ///
    /// # Errors
    /// If candle refuses an operation (reference only).
    pub fn predict(
        &self,
        parameters: &Parameters,
        batch: &PromptBatch,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let flat = self.objective.model.predict(parameters.packed(), batch)?;
        Ok(flat.chunks_exact(batch.shape.d_s).map(<[f32]>::to_vec).collect())
    }
}

fn length(settings: &TrainSettings) -> Length {
    Length {
        steps: settings.steps,
        batch: settings.batch,
        n_validation: settings.n_validation,
        validate_every: settings.validate_every,
    }
}

/// The prompts of the settings.
fn data(settings: &TrainSettings, device: Device) -> Result<PromptData, ModelError> {
    let isa = device.isa();
    let validation = settings.validation_sampler(isa)?;
    Ok(PromptData {
        training: Box::new(settings.training_sampler(isa)?),
        validation: Box::new(Kept::new(validation, settings.n_validation)),
        test: Box::new(settings.test_sampler(isa)?),
    })
}

/// A training run of a layer or of a stack of either kind.
pub enum Training {
    /// Of one attention layer.
    Layer(LayerTraining),
    /// Of a stack of Transformer layers.
    Stack(StackTraining),
    /// Of a stack of layers of linear attention.
    LinearStack(Box<LinearStackTraining>),
}

impl Training {
    /// The run of these settings.
    ///
    /// # Errors
    /// As [`LayerTraining::new`] and [`StackTraining::new`].
    pub fn new(settings: RunSettings, machine: &Machine) -> Result<Self, ModelError> {
        Ok(match settings {
            RunSettings::Layer(layer) => Self::Layer(LayerTraining::new(layer, machine)?),
            RunSettings::Stack(stack) => Self::Stack(StackTraining::new(stack, machine)?),
            RunSettings::LinearStack(stack) => {
                Self::LinearStack(Box::new(LinearStackTraining::new(stack, machine)?))
            }
        })
    }

    /// A trainer at the start of the run.
    pub fn trainer(&self) -> Trainer<'_> {
        match self {
            Self::Layer(layer) => layer.trainer(),
            Self::Stack(stack) => stack.trainer(),
            Self::LinearStack(stack) => stack.trainer(),
        }
    }
}

/// A training run of a stack of Transformer layers.
pub struct StackTraining {
    settings: StackSettings,
    start: Parameters,
    reference: ReferenceStack,
    objective: PromptObjective,
}

impl StackTraining {
    /// The run of these settings on the task's own prompts. On a GPU the reference computes it.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range or a name is unknown.
    pub fn new(settings: StackSettings, machine: &Machine) -> Result<Self, ModelError> {
        settings.check()?;
        let data = data(&settings.train, machine.device)?;
        let known = machine.known(|| RunSettings::Stack(settings.clone()));
        let training = Self::with_data(settings, data, machine)?;
        Ok(Self { objective: PromptObjective { known, ..training.objective }, ..training })
    }

    /// The run of these settings on other prompts.
    ///
    /// # Errors
    /// [`ModelError`] if a setting is out of range or a name is unknown.
    pub fn with_data(
        settings: StackSettings,
        data: PromptData,
        machine: &Machine,
    ) -> Result<Self, ModelError> {
        settings.check()?;
        let train = &settings.train;
        let modification: Arc<dyn Modification> = attention::parse(&train.modification)?.into();
        let start = settings.parameters(modification.as_ref());
        let shape = StackShape {
            d: train.prompt.d(),
            n_heads: train.n_heads,
            layers: settings.layers,
            residual: settings.residual,
        };
        let terms = modification.terms().filter(|_| train.backend == Backend::Fused);
        let reference = ReferenceStack {
            shape: train.shape(),
            d_ff: settings.d_ff,
            layers: settings.layers,
            residual: settings.residual,
            modification,
            layout: start.clone(),
            device: machine.device,
        };
        let model: Box<dyn PromptModel> = match (terms, machine.device) {
            (Some(terms), Device::Cpu(isa)) => {
                let stack = FusedStack::new(shape, terms, &start)?;
                Box::new(FusedStackModel { stack, isa, threads: machine.threads.clone() })
            }
            _ => Box::new(ByCandle(reference.clone())),
        };
        let objective = PromptObjective { model, data, known: None };
        Ok(Self { settings, start, reference, objective })
    }

    /// The settings.
    pub fn settings(&self) -> &StackSettings {
        &self.settings
    }

    /// A trainer at the start of the run.
    pub fn trainer(&self) -> Trainer<'_> {
        let train = &self.settings.train;
        Trainer::new(&self.objective, length(train), train.adam.clone(), self.start.clone())
            .with_finished(self.objective.finished())
    }

    /// The first `n` prompts of the validation set.
    pub fn validation(&self, n: usize) -> Cow<'_, PromptBatch> {
        self.objective.data.validation.batch(0, n)
    }

    /// Loss over the first `n` prompts of any source.
    ///
    /// # Errors
    /// If an operation fails or there is no prompt.
    pub fn evaluate(
        &self,
        parameters: &Parameters,
        prompts: &dyn PromptSource,
        n: usize,
    ) -> Result<Evaluation, ModelError> {
        let model = self.objective.model.as_ref();
        Evaluation::new(&model::losses(model, parameters.packed(), prompts, n)?, model.block())
    }

    /// The layers with the given parameters, as candle operations in another precision.
    ///
    /// # Errors
    /// If candle cannot build a tensor.
    pub fn layers(
        &self,
        parameters: &Parameters,
        dtype: DType,
    ) -> Result<Vec<TransformerLayer>, ModelError> {
        let device = self.reference.device.candle()?;
        self.reference.layers(&Tensor::new(parameters.packed(), &device)?.to_dtype(dtype)?)
    }
}
