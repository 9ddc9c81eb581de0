//! Attention's side: the encoder and the heads of its layers, as candle operations.

use super::encoder::Encoder;
use crate::error::Result;
use candle_core::{DType, Device, Tensor};
use icl_model::attention::Weights;
use icl_model::bert::model::{Embedded, Last};
use icl_model::bert::{Batch, variables};
use icl_model::reference::Demonstrations;
use icl_numerics::lanes::Isa;

/// An encoder in candle's tensors.
pub(super) struct Attention<'a> {
    encoder: &'a Encoder,
    weights: Weights,
    dtype: DType,
}

/// A layer on a padded batch.
pub(super) struct Layer {
    /// What it is given, `[batch, tokens, d]`.
    pub(super) input: Vec<f64>,
    /// `h'` of its heads before they are joined, `[batch, heads, tokens, d_h]`; of padding, something.
    pub(super) heads: Vec<f64>,
}

impl<'a> Attention<'a> {
    pub(super) fn new(encoder: &'a Encoder, dtype: DType, isa: Isa) -> Result<Self> {
        let packed = Tensor::new(encoder.parameters.packed(), &Device::Cpu)?.to_dtype(dtype)?;
        let weights = encoder.parameters.unpack(&packed, isa)?;
        Ok(Self { encoder, weights, dtype })
    }

    /// Every layer on its input.
    pub(super) fn layers(&self, batch: &Batch) -> Result<Vec<Layer>> {
        let Encoder { bert, parameters, tables, .. } = self.encoder;
        let embedded = tables.embed(parameters.packed(), batch, self.dtype, &Device::Cpu)?;
        let states = bert.encode(&self.weights, &embedded, Last::All, None)?;
        // the last state is nobody's input
        let inputs = states.iter().take(bert.config.num_hidden_layers).enumerate();
        inputs.map(|(l, input)| self.layer(l, input, &embedded)).collect()
    }

    fn layer(&self, l: usize, input: &Tensor, embedded: &Embedded) -> Result<Layer> {
        let attention = self.encoder.bert.attention(&self.weights.part(variables::layer(l)))?;
        let n_tokens = input.dim(1)?;
        let bias = embedded.bias.as_ref();
        let attended =
            attention.forward_heads(input, n_tokens, Demonstrations::Others, bias, None)?;
        Ok(Layer { input: flat(input)?, heads: flat(&attended.output)? })
    }
}

fn flat(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}
