//! The fused kernels as models.

use super::PromptModel;
use crate::ModelError;
use crate::fused::{FusedLayer, FusedStack, On};
use crate::objective::LossAndGradient;
use crate::prompt::{PromptBatch, PromptSource};
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;

/// Prompts of one part of a layer's evaluation, and of one block of its sum of losses.
pub const LAYER_PART: usize = 16_384;
/// Prompts of one part of a stack's evaluation.
pub const STACK_PART: usize = 512;

/// One attention layer by the fused kernel.
pub struct FusedLayerModel {
    /// The layer.
    pub layer: FusedLayer,
    /// Instruction set.
    pub isa: Isa,
    /// Threads, one chunk of prompts each.
    pub threads: Threads,
}

impl PromptModel for FusedLayerModel {
    fn predict(&self, parameters: &[f32], batch: &PromptBatch) -> Result<Vec<f32>, ModelError> {
        let on = On { isa: self.isa, threads: &self.threads };
        Ok(self.layer.predict_rows(on, parameters, batch))
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        prompts: &dyn PromptSource,
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let on = On { isa: self.isa, threads: &self.threads };
        Ok(match prompts.sampler() {
            // sampled on the way, never stored
            Some(sampler) => self.layer.sampled_gradient(on, parameters, sampler, first, n),
            None => self.layer.loss_and_gradient(on, parameters, &prompts.batch(first, n)),
        })
    }

    fn part(&self) -> usize {
        LAYER_PART
    }

    fn block(&self) -> usize {
        LAYER_PART
    }
}

/// A stack of Transformer layers by the fused kernel.
pub struct FusedStackModel {
    /// The stack.
    pub stack: FusedStack,
    /// Instruction set.
    pub isa: Isa,
    /// Threads, one chunk of prompts each.
    pub threads: Threads,
}

impl PromptModel for FusedStackModel {
    fn predict(&self, parameters: &[f32], batch: &PromptBatch) -> Result<Vec<f32>, ModelError> {
        let on = On { isa: self.isa, threads: &self.threads };
        self.stack.predict_rows(on, parameters, batch)
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        prompts: &dyn PromptSource,
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let on = On { isa: self.isa, threads: &self.threads };
        self.stack.loss_and_gradient(on, parameters, &prompts.batch(first, n))
    }

    fn part(&self) -> usize {
        STACK_PART
    }

    fn block(&self) -> usize {
        usize::MAX
    }
}
