//! The encoder and its heads.
//!
//! ```text
//! x = norm(words[id] + positions[i] + segments[s])
//! a = norm(x + attention(x)),   x' = norm(a + W_2 f(W_1 a + b_1) + b_2)          in every layer
//! pooled = tanh(W_P x_0 + b_P),   logits = W_C pooled + b_C
//! ```
//!
//! Source: J. Devlin, M. Chang, K. Lee, K. Toutanova, "BERT: pre-training of deep bidirectional Transformers for
//! language understanding" (2019). Paper gap: how the paper modifies the attention of BERT is not said. Here every
//! token is the query side of itself and has all others as demonstrations ([`Demonstrations::Others`]).

use super::config::{Activation, BertConfig};
use super::dropout::{Dropout, Site};
use super::variables::{CLASSIFIER, MASKED, MODIFICATION, POOLER, layer};
use crate::ModelError;
use crate::attention::{Modification, Weights};
use crate::kernel::Kernel;
use crate::ops;
use crate::reference::multi_head::Maps;
use crate::reference::{Demonstrations, MultiHead};
use candle_core::Tensor;
use candle_nn::Linear;
use icl_numerics::lanes::Isa;
use std::sync::Arc;

/// A BERT without its numbers.
#[derive(Debug, Clone)]
pub struct Bert {
    /// Sizes and rates.
    pub config: BertConfig,
    /// The modification of every layer's attention.
    pub modification: Arc<dyn Modification>,
}

/// Which tokens the last layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// All.
    All,
    /// The first, which is what the pooler reads; the others of its layer are needed by nobody.
    First,
}

/// Embedded sequences.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Sums of the three tables' rows, `[batch, tokens, d]`.
    pub tokens: Tensor,
    /// Minus infinity where a token is padding, otherwise 0, `[batch, 1, 1, tokens]`; none without padding.
    pub bias: Option<Tensor>,
}

impl Embedded {
    /// With the mask of `real` `[batch, tokens]`.
    ///
    /// # Errors
    /// If candle cannot build the tensor.
    pub fn new(tokens: Tensor, real: &[bool]) -> Result<Self, ModelError> {
        let (batch, n_tokens, _) = tokens.dims3()?;
        if real.iter().all(|real| *real) {
            return Ok(Self { tokens, bias: None });
        }
        let entry = |real: &bool| if *real { 0.0 } else { f64::NEG_INFINITY };
        let entries: Vec<f64> = real.iter().map(entry).collect();
        let bias = Tensor::from_vec(entries, (batch, 1, 1, n_tokens), tokens.device())?;
        Ok(Self { bias: Some(bias.to_dtype(tokens.dtype())?), tokens })
    }
}

impl Bert {
    /// Hidden states `[batch, tokens, d]`: after the embedding, then after every layer.
    ///
    /// # Errors
    /// If a variable is missing or candle refuses an operation.
    pub fn encode(
        &self,
        weights: &Weights,
        embedded: &Embedded,
        last: Last,
        dropout: Option<&Dropout>,
    ) -> Result<Vec<Tensor>, ModelError> {
        let config = &self.config;
        let x = self.norm(weights, "embeddings.LayerNorm", &embedded.tokens)?;
        let mut states = vec![dropped(&x, dropout, Site::Embedding)?];
        for l in 0..config.num_hidden_layers {
            let x = &states[l];
            let n_queries = match last {
                Last::First if l + 1 == config.num_hidden_layers => 1,
                _ => x.dim(1)?,
            };
            states.push(self.layer(weights, l, x, embedded.bias.as_ref(), (n_queries, dropout))?);
        }
        Ok(states)
    }

    fn layer(
        &self,
        weights: &Weights,
        l: usize,
        x: &Tensor,
        bias: Option<&Tensor>,
        (n_queries, dropout): (usize, Option<&Dropout>),
    ) -> Result<Tensor, ModelError> {
        let (d, d_ff) = (self.config.hidden_size, self.config.intermediate_size);
        let weights = weights.part(layer(l));
        let (batch, n_tokens, _) = x.dims3()?;
        let shape = [batch, self.config.num_attention_heads, n_queries, n_tokens];
        let factors = mask(dropout, Site::Attention(l), &shape, x)?;
        let attention = self.attention(&weights)?;
        let attended = attention.forward_first(
            x,
            n_queries,
            Demonstrations::Others,
            bias,
            factors.as_ref(),
        )?;
        let attended = dropped(&attended.output, dropout, Site::AttentionOutput(l))?;
        let a = self.norm(
            &weights,
            "attention.output.LayerNorm",
            &(x.narrow(1, 0, n_queries)? + attended)?,
        )?;
        let inner = ops::affine(&map(&weights, "intermediate.dense", d_ff, d)?, &a)?;
        let inner = self.activated(&inner, weights.isa())?;
        let out = ops::affine(&map(&weights, "output.dense", d, d_ff)?, &inner)?;
        let out = dropped(&out, dropout, Site::FeedForward(l))?;
        self.norm(&weights, "output.LayerNorm", &(a + out)?)
    }

    /// The attention of a layer, from the layer's variables.
    ///
    /// # Errors
    /// If a variable is missing or has another shape.
    pub fn attention(&self, weights: &Weights) -> Result<MultiHead, ModelError> {
        let d = self.config.hidden_size;
        let side = |name: &str| map(weights, &format!("attention.{name}"), d, d);
        let maps = Maps {
            query: side("self.query")?,
            key: side("self.key")?,
            value: side("self.value")?,
            output: Some(side("output.dense")?),
        };
        let own = weights.part(MODIFICATION);
        let heads = self.config.num_attention_heads;
        MultiHead::new(heads, maps, Kernel::Softmax, Arc::clone(&self.modification), own)
    }

    /// Logits `[batch, n_logits]` from the last hidden states.
    ///
    /// # Errors
    /// If a variable is missing or candle refuses an operation.
    pub fn logits(
        &self,
        weights: &Weights,
        last: &Tensor,
        n_logits: usize,
        dropout: Option<&Dropout>,
    ) -> Result<Tensor, ModelError> {
        let d = self.config.hidden_size;
        let first = last.narrow(1, 0, 1)?.squeeze(1)?;
        let pooled = ops::affine(&map(weights, POOLER, d, d)?, &first)?;
        let pooled = dropped(&ops::tanh(&pooled, weights.isa())?, dropout, Site::Pooler)?;
        Ok(ops::affine(&map(weights, CLASSIFIER, n_logits, d)?, &pooled)?)
    }

    /// Scores of every word piece `[n, vocab_size]` for hidden states `[n, d]`; `words` is the embedding's table
    /// `[vocab_size, d]`.
    ///
    /// # Errors
    /// If a variable is missing or candle refuses an operation.
    pub fn word_scores(
        &self,
        weights: &Weights,
        states: &Tensor,
        words: &Tensor,
    ) -> Result<Tensor, ModelError> {
        let d = self.config.hidden_size;
        let weights = weights.part(MASKED);
        let x = ops::affine(&map(&weights, "transform.dense", d, d)?, states)?;
        let x = self.activated(&x, weights.isa())?;
        let x = self.norm(&weights, "transform.LayerNorm", &x)?;
        let bias = weights.get(self.config.vocab_size, "bias")?;
        Ok(ops::affine(&Linear::new(words.clone(), Some(bias)), &x)?)
    }

    fn activated(&self, x: &Tensor, isa: Isa) -> Result<Tensor, ModelError> {
        Ok(match self.config.hidden_act {
            Activation::Gelu => ops::exact_gelu(x, isa)?,
            Activation::GeluTanh => ops::gelu(x, isa)?,
            Activation::Relu => x.relu()?,
        })
    }

    fn norm(&self, weights: &Weights, name: &str, x: &Tensor) -> Result<Tensor, ModelError> {
        let d = self.config.hidden_size;
        let weights = weights.part(name);
        let (gain, bias) = (weights.get(d, "weight")?, weights.get(d, "bias")?);
        Ok(ops::layer_norm(x, &gain, &bias, self.config.layer_norm_eps, weights.isa())?)
    }
}

/// The map `name` with its bias.
fn map(weights: &Weights, name: &str, rows: usize, columns: usize) -> Result<Linear, ModelError> {
    let weights = weights.part(name);
    let bias = weights.get(rows, "bias")?;
    Ok(Linear::new(weights.get((rows, columns), "weight")?, Some(bias)))
}

fn mask(
    dropout: Option<&Dropout>,
    site: Site,
    shape: &[usize],
    like: &Tensor,
) -> Result<Option<Tensor>, ModelError> {
    let mask = |dropout: &Dropout| dropout.mask(site, shape, like.dtype(), like.device());
    Ok(dropout.map(mask).transpose()?.flatten())
}

fn dropped(x: &Tensor, dropout: Option<&Dropout>, site: Site) -> Result<Tensor, ModelError> {
    match mask(dropout, site, x.dims(), x)? {
        Some(factors) => Ok(ops::dropped(x, &factors)?),
        None => Ok(x.clone()),
    }
}

/// Means over the real tokens, `[batch, d]`, of hidden states `[batch, tokens, d]`: the sentence's own vector.
///
/// # Errors
/// If candle refuses an operation.
pub fn mean_of_real(states: &Tensor, real: &[bool]) -> Result<Tensor, ModelError> {
    let (batch, n_tokens, _) = states.dims3()?;
    let share = |row: &[bool]| {
        let n = row.iter().filter(|real| **real).count();
        row.iter().map(|real| if *real { 1.0 / n as f64 } else { 0.0 }).collect::<Vec<f64>>()
    };
    let shares: Vec<f64> = real.chunks_exact(n_tokens).flat_map(share).collect();
    let shares = Tensor::from_vec(shares, (batch, 1, n_tokens), states.device())?;
    Ok(ops::product(&shares.to_dtype(states.dtype())?, states)?.squeeze(1)?)
}
