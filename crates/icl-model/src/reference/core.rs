//! Attention of given queries, keys and values: the core that every convention of heads shares.

use super::kernel_rows::KernelRows;
use crate::ModelError;
use crate::attention::{Modification, Weights};
use crate::kernel::AttentionKernel;
use crate::ops;
use candle_core::{D, Tensor};

/// Queries, keys and values of all heads; queries and keys carry the factor `d^(-1/4)` each, `d` being the size
/// of a head.
#[derive(Debug, Clone)]
pub struct Projected {
    /// `[batch, heads, queries, d]`.
    pub q: Tensor,
    /// `[batch, heads, tokens, d]`.
    pub k: Tensor,
    /// `[batch, heads, tokens, d]`.
    pub v: Tensor,
    /// The demonstrations as queries, `[batch, heads, n_demos, d]`; read only by a modification that needs
    /// their scores.
    pub q_demos: Option<Tensor>,
}

/// What one forward pass computed.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `[batch, queries, d]` of a layer, `[batch, heads, queries, d]` of the core.
    pub output: Tensor,
    /// Weights of every key, `[batch, heads, queries, tokens]`; rows sum to 1, or to 0 for a query that sees no
    /// key, except those of the linear kernel, which is not normalised.
    pub attention_weights: Tensor,
}

/// A kernel with a modification.
#[derive(Debug, Clone, Copy)]
pub struct Core<'a> {
    /// The modification.
    pub modification: &'a dyn Modification,
    /// The kernel.
    pub kernel: &'a AttentionKernel,
}

impl Core<'_> {
    /// `h'` of every query, head by head: see [the equations](crate::attention). The first `n_demos` tokens are
    /// demonstrations, the rest the query side; `bias` as in [`KernelRows::new`], for `[batch, heads, queries,
    /// tokens]`.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn attend(
        &self,
        weights: &Weights,
        projected: &Projected,
        n_demos: usize,
        bias: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let Projected { q, k, v, q_demos } = projected;
        let (k_demos, k_side) = split(k, n_demos)?;
        let (v_demos, v_side) = split(v, n_demos)?;
        let mut values = self.modification.values(weights, &v_demos)?;
        if let Some(q_demos) = q_demos {
            let scores = ops::product_transposed(q_demos, &k_demos)?.detach();
            values = self.modification.mix(&seen(scores, n_demos, bias)?, &values)?;
        }
        let keys = Tensor::cat(&[self.modification.keys(weights, &k_demos)?, k_side], 2)?;
        let v_side = scaled(&v_side, self.modification.query_side_factor())?;
        let values = Tensor::cat(&[values, v_side], 2)?;
        let rows = KernelRows::new(self.kernel, q, &keys, bias, weights.isa())?;
        let attention_weights = rows.weights()?;
        let output = ops::product(&attention_weights, &values.contiguous()?)?;
        Ok(Attended { output, attention_weights })
    }
}

/// The demonstrations' scores, infinite where a demonstration does not see another.
fn seen(scores: Tensor, n_demos: usize, bias: Option<&Tensor>) -> Result<Tensor, ModelError> {
    let Some(bias) = bias else { return Ok(scores) };
    let rows = if bias.dim(D::Minus2)? == 1 { 1 } else { n_demos };
    let bias = bias.narrow(D::Minus2, 0, rows)?.narrow(D::Minus1, 0, n_demos)?;
    Ok(scores.broadcast_sub(&bias)?)
}

/// Demonstrations and query side along the token axis.
fn split(x: &Tensor, n_demos: usize) -> Result<(Tensor, Tensor), ModelError> {
    let n_tokens = x.dim(2)?;
    Ok((x.narrow(2, 0, n_demos)?, x.narrow(2, n_demos, n_tokens - n_demos)?))
}

/// `factor x`, and `x` itself for factor 1, so that the neutral setting keeps every bit.
fn scaled(x: &Tensor, factor: f64) -> Result<Tensor, ModelError> {
    if factor == 1.0 { Ok(x.clone()) } else { Ok((x * factor)?) }
}
