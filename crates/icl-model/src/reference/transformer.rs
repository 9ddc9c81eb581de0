//! A Transformer layer and a stack as candle operations: the side that the duals are compared with.
//!
//! `a = [x +] sum_heads h'`, `z = [a +] W_2 relu(W_1 a + b_1) + b_2`, then LayerNorm (without gain and
//! bias) if asked for. LayerNorm is written out: candle's fused one has no gradient.

use super::layer::Layer;
use crate::ModelError;
use crate::attention::{LayerShape, Modification, Weights};
use crate::kernel::Kernel;
use crate::mask::Mask;
use crate::ops;
use candle_core::{D, Tensor};
use candle_nn::Linear;
use std::sync::Arc;

/// One layer: attention weights `w_q`, `w_k`, `w_v` `[heads, d, d]`, and `w_1` `[d_ff, d]`, `b_1`, `w_2`
/// `[d, d_ff]`, `b_2`.
#[derive(Debug, Clone)]
pub struct TransformerLayer {
    /// Sizes of the attention.
    pub shape: LayerShape,
    /// Hidden units of the feed-forward part.
    pub d_ff: usize,
    /// The attention's modification.
    pub modification: Arc<dyn Modification>,
    /// Variables by name.
    pub weights: Weights,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
    /// `epsilon` of a LayerNorm after the layer.
    pub layer_norm: Option<f64>,
}

impl TransformerLayer {
    /// The tokens after the layer, `[batch, tokens, d]`.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn forward(
        &self,
        tokens: &Tensor,
        n_demos: usize,
        mask: &Mask,
    ) -> Result<Tensor, ModelError> {
        let attention = self.attention().forward(&self.weights, tokens, n_demos, mask)?.output;
        self.finish(tokens, attention)
    }

    /// The last token after the layer, `[batch, d]`; all tokens before it are demonstrations.
    ///
    /// # Errors
    /// If shapes do not fit or candle refuses an operation.
    pub fn query_forward(&self, tokens: &Tensor) -> Result<Tensor, ModelError> {
        let last = tokens.narrow(1, tokens.dim(1)? - 1, 1)?.squeeze(1)?;
        let attention = self.attention().query_output(&self.weights, tokens)?;
        self.finish(&last, attention)
    }

    fn attention(&self) -> Layer<'_> {
        let kernel = &Kernel::Softmax;
        Layer { shape: self.shape, modification: self.modification.as_ref(), kernel }
    }

    /// `W_1, b_1` and `W_2, b_2`.
    fn feed_forward(&self) -> Result<[Linear; 2], ModelError> {
        let (d, d_ff, w) = (self.shape.d, self.d_ff, &self.weights);
        Ok([
            Linear::new(w.get((d_ff, d), "w_1")?, Some(w.get(d_ff, "b_1")?)),
            Linear::new(w.get((d, d_ff), "w_2")?, Some(w.get(d, "b_2")?)),
        ])
    }

    /// Residual path, feed-forward part and LayerNorm.
    fn finish(&self, tokens: &Tensor, attention: Tensor) -> Result<Tensor, ModelError> {
        let a = if self.residual { (tokens + attention)? } else { attention };
        let [first, second] = self.feed_forward()?;
        let out = ops::affine(&second, &ops::affine(&first, &a)?.relu()?)?;
        let z = if self.residual { (a + out)? } else { out };
        match self.layer_norm {
            Some(epsilon) => normalised(&z, epsilon),
            None => Ok(z),
        }
    }
}

fn normalised(x: &Tensor, epsilon: f64) -> Result<Tensor, ModelError> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    Ok(centred.broadcast_div(&(variance + epsilon)?.sqrt()?)?)
}

/// The tokens after every layer of a stack.
///
/// # Errors
/// As [`TransformerLayer::forward`].
pub fn forward_stack(
    layers: &[TransformerLayer],
    tokens: &Tensor,
    n_demos: usize,
    mask: &Mask,
) -> Result<Vec<Tensor>, ModelError> {
    let mut outputs: Vec<Tensor> = Vec::with_capacity(layers.len());
    for layer in layers {
        let next = layer.forward(outputs.last().unwrap_or(tokens), n_demos, mask)?;
        outputs.push(next);
    }
    Ok(outputs)
}
