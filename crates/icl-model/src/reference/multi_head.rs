//! Multi-head attention in the convention of PyTorch and of pretrained models: heads of size `d / H` stand side
//! by side, every map may have a bias, and an output map mixes the heads.
//!
//! ```text
//! q, k, v = x W^T + b,   heads = rows h d_h .. (h + 1) d_h,   y = concat(h'_1, .., h'_H) W_O^T + b_O
//! ```

use super::core::{Attended, Core, Demonstrations, Projected};
use crate::ModelError;
use crate::attention::{Modification, Weights};
use crate::kernel::AttentionKernel;
use crate::mask::Mask;
use crate::ops;
use candle_core::Tensor;
use candle_nn::Linear;
use std::sync::Arc;

/// One layer with its weights.
#[derive(Debug, Clone)]
pub struct MultiHead {
    n_heads: usize,
    maps: Maps,
    kernel: AttentionKernel,
    modification: Arc<dyn Modification>,
    /// The modification's variables, which all heads share.
    weights: Weights,
}

/// The affine maps of a layer.
#[derive(Debug, Clone)]
pub struct Maps {
    /// Queries, `[d, d]`.
    pub query: Linear,
    /// Keys.
    pub key: Linear,
    /// Values.
    pub value: Linear,
    /// None for the heads as they stand.
    pub output: Option<Linear>,
}

impl Maps {
    /// `w_q`, `w_k`, `w_v` `[d, d]`, where there are such `b_q`, `b_k`, `b_v` `[d]`, `w_o` `[d, d]`, `b_o` `[d]`.
    ///
    /// # Errors
    /// If a variable is missing or has another shape.
    pub fn new(d: usize, weights: &Weights) -> Result<Self, ModelError> {
        let linear = |side: &str| -> Result<Linear, ModelError> {
            let bias = weights.find(d, &format!("b_{side}"))?;
            Ok(Linear::new(weights.get((d, d), &format!("w_{side}"))?, bias))
        };
        let output = weights.find((d, d), "w_o")?;
        let output = output.map(|_| linear("o")).transpose()?;
        Ok(Self { query: linear("q")?, key: linear("k")?, value: linear("v")?, output })
    }
}

impl MultiHead {
    /// A layer of `maps`, with the modification's variables for heads of size `d / n_heads` in `weights`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if `n_heads` does not divide the size of a token.
    pub fn new(
        n_heads: usize,
        maps: Maps,
        kernel: AttentionKernel,
        modification: Arc<dyn Modification>,
        weights: Weights,
    ) -> Result<Self, ModelError> {
        let d = maps.query.weight().dim(0)?;
        if n_heads == 0 || !d.is_multiple_of(n_heads) {
            return Err(ModelError::setting("n_heads", n_heads, format!("a divisor of {d}")));
        }
        Ok(Self { n_heads, maps, kernel, modification, weights })
    }

    /// The output of every token of `tokens` `[batch, tokens, d]` under `mask`.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn forward(
        &self,
        tokens: &Tensor,
        demonstrations: Demonstrations,
        mask: &Mask,
    ) -> Result<Attended, ModelError> {
        let (batch, n_tokens, _) = tokens.dims3()?;
        let bias = mask.bias(batch, n_tokens, tokens.dtype(), tokens.device())?;
        self.forward_first(tokens, n_tokens, demonstrations, bias.as_ref(), None)
    }

    /// The output of the first `n_queries` tokens only, `[batch, n_queries, d]`; `bias` is a mask that several layers can
    /// share, and `dropout` holds factors on the weights `[batch, heads, n_queries, tokens]`.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_first(
        &self,
        tokens: &Tensor,
        n_queries: usize,
        demonstrations: Demonstrations,
        bias: Option<&Tensor>,
        dropout: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let (batch, _, d) = tokens.dims3()?;
        let Attended { output: heads, attention_weights } =
            self.forward_heads(tokens, n_queries, demonstrations, bias, dropout)?;
        let joined = heads.transpose(1, 2)?.contiguous()?.reshape((batch, n_queries, d))?;
        let output = match &self.maps.output {
            Some(map) => ops::affine(map, &joined)?,
            None => joined,
        };
        Ok(Attended { output, attention_weights })
    }

    /// The same before the heads are joined: `h'` of every head, `[batch, heads, n_queries, d / heads]`.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_heads(
        &self,
        tokens: &Tensor,
        n_queries: usize,
        demonstrations: Demonstrations,
        bias: Option<&Tensor>,
        dropout: Option<&Tensor>,
    ) -> Result<Attended, ModelError> {
        let (_, n_tokens, d) = tokens.dims3()?;
        let scale = 1.0 / ((d / self.n_heads) as f64).sqrt().sqrt();
        let Maps { query, key, value, .. } = &self.maps;
        let n_demos = match demonstrations {
            Demonstrations::First(n) => n,
            Demonstrations::Others => n_tokens,
        };
        let needs_scores = self.modification.needs_scores();
        let n_projected = if needs_scores { n_queries.max(n_demos) } else { n_queries };
        let q = (self.heads(query, &tokens.narrow(1, 0, n_projected)?)? * scale)?;
        let projected = Projected {
            q_demos: needs_scores.then(|| q.narrow(2, 0, n_demos)).transpose()?,
            q: q.narrow(2, 0, n_queries)?,
            k: (self.heads(key, tokens)? * scale)?,
            v: self.heads(value, tokens)?,
        };
        let core = Core { modification: self.modification.as_ref(), kernel: &self.kernel, dropout };
        core.attend(&self.weights, &projected, demonstrations, bias)
    }

    /// `[batch, heads, tokens, d / heads]`.
    fn heads(&self, map: &Linear, x: &Tensor) -> Result<Tensor, ModelError> {
        let (batch, n_tokens, d) = x.dims3()?;
        let parts =
            ops::affine(map, x)?.reshape((batch, n_tokens, self.n_heads, d / self.n_heads))?;
        Ok(parts.transpose(1, 2)?.contiguous()?)
    }
}
