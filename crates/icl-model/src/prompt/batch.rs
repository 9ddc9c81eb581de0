//! Prompts side by side in the lanes.

use super::PromptShape;
use crate::ModelError;
use candle_core::{DType, Device, Tensor};
use icl_numerics::lanes::{LANES, Lane16};
use icl_numerics::order;

/// A batch of prompts in lane order: group of sixteen prompts, then token, then dimension, then lane.
#[derive(Debug, Clone)]
pub struct PromptBatch {
    /// Sizes.
    pub shape: PromptShape,
    /// Prompts, at most `16 * groups`; lanes beyond it hold prompts that do not count.
    pub n_prompts: usize,
    /// `[groups, n_tokens, d, 16]`.
    pub tokens: Vec<Lane16>,
    /// `[groups, d_s, 16]`, the query's true target.
    pub targets: Vec<Lane16>,
}

impl PromptBatch {
    /// A batch from prompts given one by one: demonstrations `[t; s]`, the query's input, and its target.
    pub fn from_prompts(shape: PromptShape, prompts: &[(Vec<Vec<f32>>, Vec<f32>)]) -> Self {
        let (n_tokens, d) = (shape.n_tokens(), shape.d());
        let groups = prompts.len().div_ceil(LANES);
        let mut tokens = vec![Lane16::ZERO; groups * n_tokens * d];
        let mut targets = vec![Lane16::ZERO; groups * shape.d_s];
        for (p, (rows, target)) in prompts.iter().enumerate() {
            let (group, lane) = (p / LANES, p % LANES);
            for (i, x) in rows.iter().flatten().enumerate() {
                tokens[group * n_tokens * d + i].0[lane] = *x;
            }
            for (i, x) in target.iter().enumerate() {
                targets[group * shape.d_s + i].0[lane] = *x;
            }
        }
        Self { shape, n_prompts: prompts.len(), tokens, targets }
    }

    /// The tokens `[n_tokens, d, 16]` and targets `[d_s, 16]` of group `g`.
    pub fn group(&self, g: usize) -> (&[Lane16], &[Lane16]) {
        let n = self.shape.n_tokens() * self.shape.d();
        (&self.tokens[g * n..(g + 1) * n], &self.targets[g * self.shape.d_s..][..self.shape.d_s])
    }

    /// Number of groups of sixteen.
    pub fn n_groups(&self) -> usize {
        self.n_prompts.div_ceil(LANES)
    }

    /// The tokens of prompt `p`, row by row, `[n_tokens, d]`.
    pub fn prompt(&self, p: usize) -> Vec<f32> {
        self.group(p / LANES).0.iter().map(|lanes| lanes[p % LANES]).collect()
    }

    /// The targets of prompt `p`, `[d_s]`.
    pub fn target(&self, p: usize) -> Vec<f32> {
        self.group(p / LANES).1.iter().map(|lanes| lanes[p % LANES]).collect()
    }

    /// The targets of all prompts, `[n_prompts, d_s]`, row by row.
    pub fn target_rows(&self) -> Vec<f32> {
        let d_s = self.shape.d_s;
        let entry = |ps: usize| {
            let (p, s) = (ps / d_s, ps % d_s);
            self.targets[p / LANES * d_s + s][p % LANES]
        };
        (0..self.n_prompts * d_s).map(entry).collect()
    }

    /// Mean of `|s|^2` over the queries, the loss scale.
    pub fn mean_square_target(&self) -> f64 {
        let rows = self.target_rows();
        let rows = rows.chunks_exact(self.shape.d_s);
        let all: Vec<f64> = rows.map(order::sum_of_squares_f32).collect();
        order::sum(&all) / self.n_prompts as f64
    }

    /// Tokens as a candle tensor `[n_prompts, n_tokens, d]`.
    ///
    /// # Errors
    /// If candle cannot build the tensor.
    pub fn tokens_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor, ModelError> {
        let flat: Vec<f32> = (0..self.n_prompts).flat_map(|p| self.prompt(p)).collect();
        let shape = (self.n_prompts, self.shape.n_tokens(), self.shape.d());
        Ok(Tensor::from_vec(flat, shape, device)?.to_dtype(dtype)?)
    }

    /// Targets as a candle tensor `[n_prompts, d_s]`.
    ///
    /// # Errors
    /// If candle cannot build the tensor.
    pub fn targets_tensor(&self, dtype: DType, device: &Device) -> Result<Tensor, ModelError> {
        let flat = self.target_rows();
        Ok(Tensor::from_vec(flat, (self.n_prompts, self.shape.d_s), device)?.to_dtype(dtype)?)
    }
}
