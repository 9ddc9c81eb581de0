//! The attention layer as candle operations: the reference for the fused kernel.
//!
//! Every token is a query. Elementary functions are the portable ones, and every matrix product is
//! [`ops::product`], whose bits do not depend on the CPU's caches.

pub mod ops;

use crate::ModelError;
use crate::attention::{LayerShape, Modification, Weights};
use crate::mask::Mask;
use candle_core::{D, IndexOp, Tensor};

/// The kernel `K(k, q)`.
#[derive(Debug, Clone)]
pub enum AttentionKernel {
    /// `exp(k . q)`.
    Softmax,
    /// `exp(k . q)` over all tokens but the last, the query token.
    SoftmaxWithoutQuery,
    /// `k . q / N` over the `N` visible tokens but the last, not normalised; masked keys get weight 0.
    Linear,
    /// `phi(k) . phi(q)` with positive random features; rows of the tensor `[d_r, d]` are `omega_r`.
    Positive(Tensor),
}

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

/// What one forward pass computed.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `h'`, `[batch, queries, d]`.
    pub output: Tensor,
    /// Weights of every key, `[batch, heads, queries, tokens]`; rows sum to 1, except those of the kernel
    /// [`AttentionKernel::Linear`], which is not normalised.
    pub attention_weights: Tensor,
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
        let bias = mask.bias(tokens.dim(1)?, tokens.dtype(), tokens.device())?;
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
        let (_, n_tokens, d) = tokens.dims3()?;
        if d != self.shape.d || n_demos > n_tokens {
            return Err(ModelError::Shape {
                op: "attention tokens",
                found: tokens.dims().to_vec(),
                expected: vec![tokens.dim(0)?, n_tokens.max(n_demos), self.shape.d],
            });
        }
        let scale = 1.0 / (d as f64).sqrt().sqrt();
        let q = (ops::heads(queries, &weights["w_q"])? * scale)?;
        let k = (ops::heads(tokens, &weights["w_k"])? * scale)?;
        let v = ops::heads(tokens, &weights["w_v"])?;

        let (k_demos, k_side) = split(&k, n_demos)?;
        let (v_demos, v_side) = split(&v, n_demos)?;
        let mut values = self.modification.values(weights, &v_demos)?;
        if self.modification.needs_scores() {
            let demos = tokens.narrow(1, 0, n_demos)?;
            let q_demos = (ops::heads(&demos, &weights["w_q"])? * scale)?;
            let scores = ops::product_transposed(&q_demos, &k_demos)?.detach();
            values = self.modification.mix(&scores, &values)?;
        }
        let keys = Tensor::cat(&[self.modification.keys(weights, &k_demos)?, k_side], 2)?;
        let v_side = scaled(&v_side, self.modification.query_side_factor())?;
        let values = Tensor::cat(&[values, v_side], 2)?;

        let attention_weights = self.kernel.weights(&q, &keys, bias)?;
        let output = ops::product(&attention_weights, &values.contiguous()?)?.sum(1)?;
        Ok(Attended { output, attention_weights })
    }
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

impl AttentionKernel {
    /// `K(k_j, q_i) / sum_j K(k_j, q_i)`, `[batch, heads, queries, tokens]`; `bias` is 0 or minus
    /// infinity. Shifts that cancel in the ratio keep every exponent small.
    fn weights(&self, q: &Tensor, k: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, ModelError> {
        match self {
            Self::Linear => {
                let scores = ops::product_transposed(q, k)?;
                let Some(bias) = bias else {
                    let share = last_excluded(k, 1.0 / (k.dim(2)? - 1) as f64, 0.0)?;
                    return Ok(scores.broadcast_mul(&share)?);
                };
                // 1 where a key is seen and not the last one; a query's share is one over their number
                let seen = ops::exp(bias)?.broadcast_mul(&last_excluded(k, 1.0, 0.0)?)?;
                let number = seen.sum_keepdim(D::Minus1)?.clamp(1.0, f64::INFINITY)?;
                Ok(scores.broadcast_mul(&seen.broadcast_div(&number)?)?)
            }
            Self::Softmax | Self::SoftmaxWithoutQuery => {
                let scores = ops::product_transposed(q, k)?;
                let scores = match bias {
                    Some(bias) => scores.broadcast_add(bias)?,
                    None => scores,
                };
                let scores = match self {
                    Self::SoftmaxWithoutQuery => {
                        scores.broadcast_add(&last_excluded(k, 0.0, f64::NEG_INFINITY)?)?
                    }
                    _ => scores,
                };
                let top = scores.max_keepdim(D::Minus1)?.detach();
                normalised(&ops::exp(&scores.broadcast_sub(&top)?)?)
            }
            Self::Positive(omegas) => {
                let half_norm = (k.sqr()?.sum_keepdim(D::Minus1)? * 0.5)?;
                let least = half_norm.min_keepdim(2)?.detach();
                let k_exponent =
                    ops::linear(k, omegas)?.broadcast_sub(&half_norm.broadcast_sub(&least)?)?;
                let q_exponent = ops::linear(q, omegas)?;
                let top = q_exponent.max_keepdim(D::Minus1)?.detach();
                let phi_q = ops::exp(&q_exponent.broadcast_sub(&top)?)?;
                let phi_k = ops::exp(&k_exponent)?;
                let estimate = ops::product_transposed(&phi_q, &phi_k)?;
                let estimate = match bias {
                    // excluded keys: weight 0
                    Some(bias) => estimate.broadcast_mul(&ops::exp(bias)?)?,
                    None => estimate,
                };
                normalised(&estimate)
            }
        }
    }
}

/// A row `[1, 1, 1, tokens]` of `entry`, with `last` for the last token.
fn last_excluded(k: &Tensor, entry: f64, last: f64) -> Result<Tensor, ModelError> {
    let n = k.dim(2)?;
    let mut row = vec![entry; n];
    row[n - 1] = last;
    Ok(Tensor::from_vec(row, (1, 1, 1, n), k.device())?.to_dtype(k.dtype())?)
}

fn normalised(weights: &Tensor) -> Result<Tensor, ModelError> {
    Ok(weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn the_linear_kernel_keeps_the_mask() {
        let tensor =
            |entries: [f64; 4]| Tensor::from_slice(&entries, (1, 1, 4, 1), &Device::Cpu).unwrap();
        let (q, k) = (tensor([1.0; 4]), tensor([2.0, 3.0, 5.0, 7.0]));
        let weights = |mask: &Mask| {
            let bias = mask.bias(4, DType::F64, &Device::Cpu).unwrap();
            let weights = AttentionKernel::Linear.weights(&q, &k, bias.as_ref()).unwrap();
            weights.i((0, 0)).unwrap().to_vec2::<f64>().unwrap()
        };
        let open = weights(&Mask::None);
        let third = 1.0 / 3.0;
        assert!(open.iter().all(|row| row[..] == [2.0 * third, 3.0 * third, 5.0 * third, 0.0]));
        let causal = weights(&Mask::Causal);
        assert_eq!(causal[0], [2.0, 0.0, 0.0, 0.0]);
        assert_eq!(causal[1], [1.0, 1.5, 0.0, 0.0]);
        let padded = weights(&Mask::Padding(vec![2]));
        assert!(padded.iter().all(|row| row[..] == [1.0, 1.5, 0.0, 0.0]));
    }
}
