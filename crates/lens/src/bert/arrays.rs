//! Inputs, attention and dual of every layer, for a file.

use super::attention::Layer;
use crate::error::Result;
use crate::options::Precision;
use crate::tensor_file::serialized;
use icl_model::bert::BertConfig;

/// Arrays of some sequences, padded to the longest of them.
#[derive(Debug, Clone)]
pub(super) struct Arrays {
    /// Real tokens of every sequence.
    lengths: Vec<usize>,
    n_tokens: usize,
    n_heads: usize,
    size: usize,
    layers: Vec<[Vec<f64>; 3]>,
}

impl Arrays {
    /// No layer yet.
    pub(super) fn new(config: &BertConfig, lengths: Vec<usize>, n_tokens: usize) -> Self {
        let (n_heads, size) = (config.num_attention_heads, config.head_size());
        Self { lengths, n_tokens, n_heads, size, layers: Vec::new() }
    }

    /// Adds the next layer, with its dual `[sequences, heads, tokens, d_h]`.
    pub(super) fn push(&mut self, layer: Layer, dual: Vec<f64>) {
        self.layers.push([layer.input, layer.heads, dual]);
    }

    /// Runs of tokens of one sequence in every array, and entries of a token in such a run.
    fn forms(&self) -> [(usize, usize); 3] {
        let heads = (self.n_heads, self.size);
        [(1, self.n_heads * self.size), heads, heads]
    }

    /// All parts side by side, padded to the longest sequence; padding is zero.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        let n_tokens = parts.iter().map(|part| part.n_tokens).max().unwrap_or(0);
        let lengths: Vec<usize> = parts.iter().flat_map(|part| part.lengths.clone()).collect();
        let (n_heads, size) = parts.first().map_or((0, 0), |part| (part.n_heads, part.size));
        let n_layers = parts.first().map_or(0, |part| part.layers.len());
        let empty = || [const { Vec::new() }; 3];
        let mut joined = Self {
            lengths,
            n_tokens,
            n_heads,
            size,
            layers: (0..n_layers).map(|_| empty()).collect(),
        };
        let forms = joined.forms();
        for part in parts {
            for (into, layer) in joined.layers.iter_mut().zip(&part.layers) {
                for ((into, from), (runs, width)) in into.iter_mut().zip(layer).zip(forms) {
                    for (r, run) in from.chunks_exact(part.n_tokens * width).enumerate() {
                        let end = into.len() + n_tokens * width;
                        into.extend_from_slice(&run[..part.lengths[r / runs] * width]);
                        into.resize(end, 0.0);
                    }
                }
            }
        }
        joined
    }

    /// `attention_mask` `[B, T]`; `layer_0.input` `[B, T, d]`, `layer_0.attention` and `layer_0.dual` `[B, H, T, d_h]`, and
    /// so on.
    pub(super) fn to_safetensors(&self, precision: Precision) -> Result<Vec<u8>> {
        let (n, n_tokens) = (self.lengths.len(), self.n_tokens);
        let real =
            |length: &usize| (0..n_tokens).map(|t| f64::from(u8::from(t < *length))).collect();
        let mask: Vec<f64> = self.lengths.iter().flat_map::<Vec<f64>, _>(real).collect();
        let mut named = vec![("attention_mask".to_owned(), vec![n, n_tokens], mask.as_slice())];
        let d = self.n_heads * self.size;
        let heads = vec![n, self.n_heads, n_tokens, self.size];
        let shapes = [vec![n, n_tokens, d], heads.clone(), heads];
        for (l, layer) in self.layers.iter().enumerate() {
            for ((what, shape), values) in
                ["input", "attention", "dual"].iter().zip(&shapes).zip(layer)
            {
                named.push((format!("layer_{l}.{what}"), shape.clone(), values));
            }
        }
        let arrays: Vec<(&str, Vec<usize>, &[f64])> = named
            .iter()
            .map(|(name, shape, values)| (name.as_str(), shape.clone(), *values))
            .collect();
        serialized(&arrays, precision)
    }
}
