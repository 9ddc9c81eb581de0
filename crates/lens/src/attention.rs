//! The user's attention, as candle operations: the side that the dual is compared with.

use crate::error::Result;
use crate::input::Input;
use crate::layer::{Affine, Layer, Mix};
use crate::options::RotaryStyle;
use crate::rotary::Rotary;
use crate::side::{self, Output};
use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;
use icl_model::kernel::Kernel;
use icl_model::mask;
use icl_model::ops;
use icl_model::reference::kernel_weights;
use icl_numerics::lanes::Isa;
use std::ops::Range;

/// The layer in candle's tensors.
struct Side<'a> {
    layer: &'a Layer,
    input: &'a Input,
    rotary: Option<&'a Rotary>,
    dtype: DType,
    query: Linear,
    key: Linear,
    value: Linear,
    with_weights: bool,
    isa: Isa,
}

/// Attention of every token, and its weights `[batch, heads, tokens, tokens]` if they are wanted.
pub(crate) fn attend(
    layer: &Layer,
    input: &Input,
    rotary: Option<&Rotary>,
    dtype: DType,
    with_weights: bool,
    isa: Isa,
) -> Result<(Output, Option<Vec<f64>>)> {
    let (query, key) = (linear(&layer.query, dtype)?, linear(&layer.key, dtype)?);
    let value = linear(&layer.value, dtype)?;
    let side = Side { layer, input, rotary, dtype, query, key, value, with_weights, isa };
    let (joined, weights) = side::by_heads(layer, input, |b, g| side.heads(b, g))?;
    let mix = match &layer.mix {
        Mix::Projected(output) => Some(linear(output, dtype)?),
        Mix::Joined | Mix::Summed => None,
    };
    let project = |rows: &[f64]| {
        let rows = tensor(rows, &[rows.len() / layer.joined(), layer.joined()], dtype)?;
        mix.as_ref().map_or_else(|| flat(&rows), |mix| flat(&ops::affine(mix, &rows)?))
    };
    let add = |x: f64, y: f64| if dtype == DType::F32 { f64::from((x + y) as f32) } else { x + y };
    let output = side::mixed(layer, joined, project, add)?;
    Ok((output, with_weights.then(|| weights.concat())))
}

impl Side<'_> {
    /// Outputs of the query heads that read head `g` of keys and values, and their weights one after the
    /// other.
    fn heads(&self, b: usize, g: usize) -> Result<(Vec<Vec<f64>>, Vec<f64>)> {
        let (n, size) = (self.input.n_tokens, self.layer.heads.size);
        let (key, value) =
            (ops::rows(&self.key, g * size, size)?, ops::rows(&self.value, g * size, size)?);
        let parts = side::by_blocks(n, |rows| {
            let x = self.tokens(b, rows.clone())?;
            Ok((self.turned(&ops::affine(&key, &x)?, rows)?, ops::affine(&value, &x)?))
        })?;
        let (keys, values): (Vec<Tensor>, Vec<Tensor>) = parts.into_iter().unzip();
        let (keys, values) = (Tensor::cat(&keys, 0)?, Tensor::cat(&values, 0)?);
        let (mut outputs, mut weights) = (Vec::new(), Vec::new());
        for h in g * self.layer.group()..(g + 1) * self.layer.group() {
            let query = ops::rows(&self.query, h * size, size)?;
            let blocks = side::by_blocks(n, |rows| self.block(b, rows, &query, &keys, &values))?;
            outputs.push(blocks.iter().flat_map(|(output, _)| output).copied().collect());
            weights.extend(blocks.into_iter().flat_map(|(_, weights)| weights));
        }
        Ok((outputs, weights))
    }

    /// Outputs `[rows, d_h]` of a block of queries, and their weights `[rows, tokens]` if they are wanted; zero for
    /// a query that sees no key.
    fn block(
        &self,
        b: usize,
        rows: Range<usize>,
        query: &Linear,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let (n, size, device) = (self.input.n_tokens, self.layer.heads.size, Device::Cpu);
        let causal = self.input.causal;
        let end = if causal { rows.end } else { n };
        let queries = ops::affine(query, &self.tokens(b, rows.clone())?)?;
        let queries = self.turned(&queries, rows.clone())?;
        let queries = (queries * (1.0 / (size as f64).sqrt()))?;
        let real = self.input.real(b);
        let bias = mask::block(rows.clone(), end, causal, real, self.dtype, &device)?;
        let keys = keys.narrow(0, 0, end)?;
        let all = kernel_weights(&Kernel::Softmax, &queries, &keys, bias.as_ref(), self.isa)?;
        let output = flat(&ops::product(&all, &values.narrow(0, 0, end)?)?)?;
        let mut weights = Vec::new();
        if self.with_weights {
            for row in flat(&all)?.chunks_exact(end) {
                weights.extend_from_slice(row);
                weights.resize(weights.len() + n - end, 0.0);
            }
        }
        Ok((output, weights))
    }

    fn tokens(&self, b: usize, rows: Range<usize>) -> Result<Tensor> {
        tensor(self.input.rows(b, rows.clone()), &[rows.len(), self.input.d], self.dtype)
    }

    /// Queries or keys `[rows, d_h]`, turned by their positions.
    fn turned(&self, x: &Tensor, rows: Range<usize>) -> Result<Tensor> {
        let Some(rotary) = self.rotary else { return Ok(x.clone()) };
        let (n, pairs) = (rows.len(), rotary.pairs);
        let range = rows.start * pairs..rows.end * pairs;
        let cosines = tensor(&rotary.cosines[range.clone()], &[n, pairs], self.dtype)?;
        let sines = tensor(&rotary.sines[range], &[n, pairs], self.dtype)?;
        let halves = |a: &Tensor, b: &Tensor| -> Result<(Tensor, Tensor)> {
            let first = ((a * &cosines)? - (b * &sines)?)?;
            Ok((first, ((a * &sines)? + (b * &cosines)?)?))
        };
        match rotary.style {
            RotaryStyle::Half => {
                let (a, b) = (x.narrow(1, 0, pairs)?, x.narrow(1, pairs, pairs)?);
                let (a, b) = halves(&a, &b)?;
                Ok(Tensor::cat(&[a, b], 1)?)
            }
            RotaryStyle::Interleaved => {
                let x = x.reshape((n, pairs, 2))?;
                let (a, b) = (x.narrow(2, 0, 1)?.squeeze(2)?, x.narrow(2, 1, 1)?.squeeze(2)?);
                let (a, b) = halves(&a, &b)?;
                Ok(Tensor::stack(&[a, b], 2)?.reshape((n, 2 * pairs))?)
            }
        }
    }
}

fn tensor(values: &[f64], shape: &[usize], dtype: DType) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(dtype)?)
}

fn flat(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

fn linear(affine: &Affine, dtype: DType) -> Result<Linear> {
    let weight = tensor(&affine.weight, &[affine.rows, affine.columns], dtype)?;
    let bias = affine.bias.as_ref().map(|bias| tensor(bias, &[affine.rows], dtype)).transpose()?;
    Ok(Linear::new(weight, bias))
}
