//! Attention of given queries, keys and values: the core that every convention of heads shares.

use super::kernel_weights::kernel_weights;
use crate::ModelError;
use crate::attention::{Modification, Weights};
use crate::kernel::{AttentionKernel, Kernel};
use crate::ops;
use candle_core::{D, DType, Tensor};
use icl_numerics::lanes::Isa;
use icl_numerics::math;

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

/// Which tokens a query has as demonstrations; the rest is its query side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demonstrations {
    /// The first so many, for every query.
    First(usize),
    /// All but the query's own token; the queries are those of the first tokens.
    Others,
}

/// A kernel with a modification.
#[derive(Debug, Clone, Copy)]
pub struct Core<'a> {
    /// The modification.
    pub modification: &'a dyn Modification,
    /// The kernel.
    pub kernel: &'a AttentionKernel,
    /// Factors on the weights of attention, `[batch, heads, queries, tokens]`.
    pub dropout: Option<&'a Tensor>,
}

impl Core<'_> {
    /// `h'` of every query, head by head: see [the equations](crate::attention); `bias` as in [`kernel_weights`], for
    /// `[batch, heads, queries, tokens]`.
    ///
    /// # Errors
    /// If shapes do not fit, candle refuses an operation, or the kernel has no demonstrations of that kind.
    pub fn attend(
        &self,
        weights: &Weights,
        projected: &Projected,
        demonstrations: Demonstrations,
        bias: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        match demonstrations {
            Demonstrations::First(n) => self.attend_first(weights, projected, n, bias),
            Demonstrations::Others => self.attend_others(weights, projected, bias),
        }
    }

    fn attend_first(
        &self,
        weights: &Weights,
        projected: &Projected,
        n_demos: usize,
        bias: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let Projected { q, k, v, q_demos } = projected;
        let (k_demos, k_side) = split(k, n_demos)?;
        let (v_demos, v_side) = split(v, n_demos)?;
        let values = self.values(weights, [q_demos.as_ref(), Some(&k_demos)], &v_demos, bias)?;
        let keys = Tensor::cat(&[self.modification.keys(weights, &k_demos)?, k_side], 2)?;
        let v_side = scaled(&v_side, self.modification.query_side_factor())?;
        let values = Tensor::cat(&[values, v_side], 2)?;
        let attention_weights =
            self.dropped(kernel_weights(self.kernel, q, &keys, bias, weights.isa())?)?;
        let demos = first(n_demos, k.dim(2)?, k)?;
        let trained = self.trained(&attention_weights, &demos, bias, weights.isa())?;
        let output = ops::product(&trained, &values.contiguous()?)?;
        Ok(Attended { output, attention_weights })
    }

    /// Weights after the dual's steps on each demonstration: see [`shrunk`].
    fn trained(
        &self,
        attention_weights: &Tensor,
        demos: &Tensor,
        bias: Option<&Tensor>,
        isa: Isa,
    ) -> Result<Tensor, ModelError> {
        let factor = self.modification.shrinkage();
        if factor == 1.0 {
            return Ok(attention_weights.clone());
        }
        shrunk(attention_weights, factor, demos, bias, isa)
    }

    /// Every entry as if the token were a demonstration, then a query's own: its plain score, and its plain value
    /// times the factor of the query side.
    fn attend_others(
        &self,
        weights: &Weights,
        projected: &Projected,
        bias: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let Projected { q, k, v, q_demos } = projected;
        if !matches!(self.kernel, Kernel::Softmax) {
            let found = format!("{:?}", self.kernel);
            return Err(ModelError::setting("kernel", found, "softmax where all others are shown"));
        }
        let (n_queries, n_tokens) = (q.dim(2)?, k.dim(2)?);
        let own = Tensor::eye(n_tokens, DType::U8, q.device())?.narrow(0, 0, n_queries)?;
        let keys = self.modification.keys(weights, k)?;
        let mut scores = ops::product_transposed(q, &keys)?;
        if keys.id() != k.id() {
            let plain = ops::product_transposed(q, k)?;
            scores = own.broadcast_as(scores.shape())?.where_cond(&plain, &scores)?;
        }
        let attention_weights = self.dropped(ops::softmax(&scores, bias, weights.isa())?)?;
        let values = self.values(weights, [q_demos.as_ref(), Some(k)], v, bias)?;
        let others = (own.ones_like()? - &own)?.to_dtype(k.dtype())?;
        let trained = self.trained(&attention_weights, &others, bias, weights.isa())?;
        let mut output = ops::product(&trained, &values.contiguous()?)?;
        let factor = self.modification.query_side_factor();
        if values.id() != v.id() || factor != 1.0 {
            let own = trained.broadcast_mul(&own.to_dtype(v.dtype())?)?;
            let own = own.sum_keepdim(D::Minus1)?;
            let gap = (scaled(v, factor)? - values)?.narrow(2, 0, n_queries)?;
            output = (output + own.broadcast_mul(&gap)?)?;
        }
        Ok(Attended { output, attention_weights })
    }

    /// `v~` of demonstrations: `g1`, then the mixture by their scores as queries.
    fn values(
        &self,
        weights: &Weights,
        [q, k]: [Option<&Tensor>; 2],
        v: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor, ModelError> {
        let values = self.modification.values(weights, v)?;
        let (Some(q), Some(k)) = (q, k) else { return Ok(values) };
        let scores = ops::product_transposed(q, k)?.detach();
        self.modification.mix(&seen(scores, v.dim(2)?, bias)?, &values)
    }

    fn dropped(&self, attention_weights: Tensor) -> Result<Tensor, ModelError> {
        match self.dropout {
            Some(mask) => Ok(ops::dropped(&attention_weights, mask)?),
            None => Ok(attention_weights),
        }
    }
}

/// 1 for the first `n` of `n_tokens` keys, else 0, of the keys' type.
fn first(n: usize, n_tokens: usize, keys: &Tensor) -> Result<Tensor, ModelError> {
    let entries: Vec<f64> = (0..n_tokens).map(|j| if j < n { 1.0 } else { 0.0 }).collect();
    Ok(Tensor::from_vec(entries, (1, n_tokens), keys.device())?.to_dtype(keys.dtype())?)
}

/// Weights `[.., queries, tokens]` times `factor` to the power of the dual's steps that come after a token's own: for
/// a demonstration those on the later ones that the query sees, for the query side all of them. `demos`
/// `[queries or 1, tokens]` is 1 where a token is a demonstration of a query and 0 elsewhere.
fn shrunk(
    weights: &Tensor,
    factor: f64,
    demos: &Tensor,
    bias: Option<&Tensor>,
    isa: Isa,
) -> Result<Tensor, ModelError> {
    let n = demos.dim(D::Minus1)?;
    let steps = match bias {
        Some(bias) => ops::exp(bias, isa)?.broadcast_mul(demos)?,
        None => demos.clone(),
    };
    let later: Vec<f64> = (0..n * n).map(|ij| if ij % n > ij / n { 1.0 } else { 0.0 }).collect();
    let later = Tensor::from_vec(later, (n, n), demos.device())?.to_dtype(demos.dtype())?;
    let after = ops::linear(&steps, &later)?.broadcast_mul(demos)?;
    let side = (demos.ones_like()? - demos)?;
    let after = (after + steps.sum_keepdim(D::Minus1)?.broadcast_mul(&side)?)?;
    let factors = ops::exp(&(after * math::ln(factor))?, isa)?;
    Ok(weights.broadcast_mul(&factors)?)
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
