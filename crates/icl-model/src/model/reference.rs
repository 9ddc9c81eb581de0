//! Models by candle operations and candle's automatic gradients, on any of its devices.
//!
//! Gradients are computed for a few prompts at a time, of at most 512 tokens together, and added in order: how a sum
//! is cut is part of its bits.

use super::PromptModel;
use crate::ModelError;
use crate::attention::{LayerShape, Modification, Parameters};
use crate::device::Device;
use crate::kernel::AttentionKernel;
use crate::mask::Mask;
use crate::objective::LossAndGradient;
use crate::ops::MAX_INNER;
use crate::prompt::{PromptBatch, PromptSource};
use crate::reference::{Layer, TransformerLayer};
use candle_core::{DType, Tensor, Var};
use std::sync::Arc;

/// Prompts that one part of an evaluation holds in memory.
const PART: usize = 512;

/// A model whose prediction candle can differentiate.
pub trait Differentiable: Send + Sync {
    /// Predictions `[n_prompts, d_s]` from one packed tensor of parameters.
    ///
    /// # Errors
    /// If the prompts do not fit or candle refuses an operation.
    fn prediction(&self, packed: &Tensor, batch: &PromptBatch) -> Result<Tensor, ModelError>;

    /// Where the tensors stand.
    fn device(&self) -> Device;
}

/// A differentiable model as a model of prompts.
pub struct ByCandle<M>(pub M);

impl<M: Differentiable> PromptModel for ByCandle<M> {
    fn predict(&self, parameters: &[f32], batch: &PromptBatch) -> Result<Vec<f32>, ModelError> {
        let packed = Tensor::new(parameters, &self.0.device().candle()?)?;
        Ok(self.0.prediction(&packed, batch)?.flatten_all()?.to_vec1()?)
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        prompts: &dyn PromptSource,
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let device = self.0.device().candle()?;
        let n_tokens = prompts.batch(first, 16.min(n)).shape.n_tokens();
        // whole groups of sixteen prompts
        let chunk = (MAX_INNER / n_tokens / 16).max(1) * 16;
        let (mut total, mut gradient) = (0.0, vec![0.0_f32; parameters.len()]);
        for start in (0..n).step_by(chunk) {
            let batch = prompts.batch(first + start as u64, chunk.min(n - start));
            let packed = Var::from_tensor(&Tensor::new(parameters, &device)?)?;
            let prediction = self.0.prediction(packed.as_tensor(), &batch)?;
            let error = (prediction - batch.targets_tensor(DType::F32, &device)?)?;
            let loss = (error.sqr()?.sum_all()? * (0.5 / n as f64))?;
            let gradients = loss.backward()?;
            let part = gradients.get(packed.as_tensor()).ok_or(ModelError::NoGradient)?;
            let part: Vec<f32> = part.to_vec1()?;
            gradient.iter_mut().zip(part).for_each(|(sum, g)| *sum += g);
            total += f64::from(loss.to_scalar::<f32>()?);
        }
        Ok(LossAndGradient { loss: total, gradient })
    }

    fn part(&self) -> usize {
        PART
    }

    fn block(&self) -> usize {
        usize::MAX
    }
}

/// One attention layer.
pub struct ReferenceLayer {
    /// Sizes.
    pub shape: LayerShape,
    /// The modification.
    pub modification: Arc<dyn Modification>,
    /// The kernel.
    pub kernel: AttentionKernel,
    /// The layout of the packed parameters.
    pub layout: Parameters,
    /// Where it is computed.
    pub device: Device,
}

impl Differentiable for ReferenceLayer {
    fn prediction(&self, packed: &Tensor, batch: &PromptBatch) -> Result<Tensor, ModelError> {
        let layer = Layer {
            shape: self.shape,
            modification: self.modification.as_ref(),
            kernel: &self.kernel,
        };
        let weights = self.layout.unpack(packed, self.device.isa())?;
        let tokens = batch.tokens_tensor(packed.dtype(), packed.device())?;
        let output = layer.query_output(&weights, &tokens)?;
        Ok(output.narrow(1, batch.shape.d_t, batch.shape.d_s)?)
    }

    fn device(&self) -> Device {
        self.device
    }
}

/// A stack of Transformer layers; layer `l` has the variables `<l>.<name>`.
#[derive(Clone)]
pub struct ReferenceStack {
    /// Sizes of the attention of every layer.
    pub shape: LayerShape,
    /// Hidden units of every feed-forward part.
    pub d_ff: usize,
    /// Layers.
    pub layers: usize,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
    /// The attention's modification.
    pub modification: Arc<dyn Modification>,
    /// The layout of the packed parameters.
    pub layout: Parameters,
    /// Where it is computed.
    pub device: Device,
}

impl ReferenceStack {
    /// The layers with the given packed parameters, of any dtype.
    ///
    /// # Errors
    /// If candle refuses an operation.
    pub fn layers(&self, packed: &Tensor) -> Result<Vec<TransformerLayer>, ModelError> {
        let weights = self.layout.unpack(packed, self.device.isa())?;
        let layer = |layer: usize| TransformerLayer {
            shape: self.shape,
            d_ff: self.d_ff,
            modification: Arc::clone(&self.modification),
            weights: weights.part(layer),
            residual: self.residual,
            layer_norm: None,
        };
        Ok((0..self.layers).map(layer).collect())
    }
}

impl Differentiable for ReferenceStack {
    fn prediction(&self, packed: &Tensor, batch: &PromptBatch) -> Result<Tensor, ModelError> {
        let layers = self.layers(packed)?;
        let Some((last, before)) = layers.split_last() else {
            return Err(ModelError::setting("layers", 0, "at least 1"));
        };
        let mut tokens = batch.tokens_tensor(packed.dtype(), packed.device())?;
        for layer in before {
            tokens = layer.forward(&tokens, batch.shape.n_demos, &Mask::None)?;
        }
        Ok(last.query_forward(&tokens)?.narrow(1, batch.shape.d_t, batch.shape.d_s)?)
    }

    fn device(&self) -> Device {
        self.device
    }
}
