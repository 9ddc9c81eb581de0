//! The figures' attention layer: every head has `d x d` projections, and the heads' outputs are summed.

use super::core::{Attended, Core, Demonstrations, Projected};
use crate::ModelError;
use crate::attention::{LayerShape, Modification, Weights};
use crate::kernel::AttentionKernel;
use crate::mask::Mask;
use crate::ops;
use candle_core::{IndexOp, Tensor};

/// One attention layer without its weights.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// Sizes.
    pub shape: LayerShape,
    /// The modification.
    pub modification: &'a dyn Modification,
    /// The kernel.
    pub kernel: &'a AttentionKernel,
}

impl Layer<'_> {
    /// `h'` of the last token, `[batch, d]`; the tokens before it are the demonstrations.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn query_output(&self, weights: &Weights, tokens: &Tensor) -> Result<Tensor, ModelError> {
        let n_tokens = tokens.dim(1)?;
        let queries = tokens.narrow(1, n_tokens - 1, 1)?;
        let attended = self.attend(weights, tokens, &queries, n_tokens - 1, None)?;
        Ok(attended.output.i((.., 0, ..))?)
    }

    /// `h'` of every token of `tokens` `[batch, tokens, d]` under `mask`, the first `n_demos` tokens
    /// being demonstrations and the rest the query side.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn forward(
        &self,
        weights: &Weights,
        tokens: &Tensor,
        n_demos: usize,
        mask: &Mask,
    ) -> Result<Attended, ModelError> {
        let (batch, n_tokens, _) = tokens.dims3()?;
        let bias = mask.bias(batch, n_tokens, tokens.dtype(), tokens.device())?;
        self.attend(weights, tokens, tokens, n_demos, bias.as_ref())
    }

    fn attend(
        &self,
        weights: &Weights,
        tokens: &Tensor,
        queries: &Tensor,
        n_demos: usize,
        bias: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let LayerShape { d, n_heads } = self.shape;
        let (batch, n_tokens, found) = tokens.dims3()?;
        if found != d || n_demos > n_tokens {
            return Err(ModelError::Shape {
                op: "attention tokens",
                found: tokens.dims().to_vec(),
                expected: vec![batch, n_tokens.max(n_demos), d],
            });
        }
        let scale = 1.0 / (d as f64).sqrt().sqrt();
        let w_q = weights.get((n_heads, d, d), "w_q")?;
        let w_k = weights.get((n_heads, d, d), "w_k")?;
        let w_v = weights.get((n_heads, d, d), "w_v")?;
        let q_demos = if self.modification.needs_scores() {
            Some((ops::heads(&tokens.narrow(1, 0, n_demos)?, &w_q)? * scale)?)
        } else {
            None
        };
        let projected = Projected {
            q: (ops::heads(queries, &w_q)? * scale)?,
            k: (ops::heads(tokens, &w_k)? * scale)?,
            v: ops::heads(tokens, &w_v)?,
            q_demos,
        };
        let core = Core { modification: self.modification, kernel: self.kernel, dropout: None };
        let Attended { output, attention_weights } =
            core.attend(weights, &projected, Demonstrations::First(n_demos), bias)?;
        Ok(Attended { output: output.sum(1)?, attention_weights })
    }
}
