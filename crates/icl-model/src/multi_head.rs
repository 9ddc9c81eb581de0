//! Multi-head attention over a user's own weights, as candle operations.
//!
//! The usual convention: `y = x W^T + b` (PyTorch's `nn.Linear`), head `h` takes rows
//! `h d_h .. (h+1) d_h` of the projections, scores are divided by `sqrt(d_h)`, the heads' outputs stand
//! side by side and `W_O` mixes them. Every token is a query.

use crate::ModelError;
use crate::composite::ops;
use crate::mask::Mask;
use candle_core::{D, Tensor};

/// An affine map; the bias is optional.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `[d_out, d_in]`.
    pub weight: Tensor,
    /// `[d_out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// `x W^T + b` over the last axis.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let y = ops::linear(x, &self.weight)?;
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

/// A multi-head attention layer.
#[derive(Debug, Clone)]
pub struct MultiHeadAttention {
    /// Heads; they divide `d`.
    pub n_heads: usize,
    /// Query projection.
    pub query: Linear,
    /// Key projection.
    pub key: Linear,
    /// Value projection.
    pub value: Linear,
    /// Output projection, if there is one.
    pub output: Option<Linear>,
}

/// Output and weights of one pass.
#[derive(Debug, Clone)]
pub struct MultiHeadOutput {
    /// `[batch, tokens, d]`.
    pub output: Tensor,
    /// `[batch, heads, tokens, tokens]`.
    pub attention_weights: Tensor,
}

impl MultiHeadAttention {
    /// Attention of every token of `tokens` `[batch, tokens, d]`.
    ///
    /// # Errors
    /// If shapes do not fit or the heads do not divide `d`.
    pub fn forward(&self, tokens: &Tensor, mask: &Mask) -> Result<MultiHeadOutput, ModelError> {
        let (batch, n_tokens, d) = tokens.dims3()?;
        if self.n_heads == 0 || !d.is_multiple_of(self.n_heads) {
            return Err(ModelError::setting("heads", self.n_heads, format!("a divisor of {d}")));
        }
        let d_h = d / self.n_heads;
        let split = |x: Tensor| {
            x.reshape((batch, n_tokens, self.n_heads, d_h))?.transpose(1, 2)?.contiguous()
        };
        let q = split((self.query.forward(tokens)? * (1.0 / (d_h as f64).sqrt()))?)?;
        let k = split(self.key.forward(tokens)?)?;
        let v = split(self.value.forward(tokens)?)?;
        let mut scores = ops::product_transposed(&q, &k)?;
        if let Some(bias) = mask.bias(n_tokens, tokens.dtype(), tokens.device())? {
            scores = scores.broadcast_add(&bias)?;
        }
        let top = scores.max_keepdim(D::Minus1)?;
        let kernel = ops::exp(&scores.broadcast_sub(&top)?)?;
        let attention_weights = kernel.broadcast_div(&kernel.sum_keepdim(D::Minus1)?)?;
        let side_by_side = ops::product(&attention_weights, &v)?.transpose(1, 2)?.contiguous()?;
        let joined = side_by_side.reshape((batch, n_tokens, d))?;
        let output = match &self.output {
            Some(output) => output.forward(&joined)?,
            None => joined,
        };
        Ok(MultiHeadOutput { output, attention_weights })
    }
}
