//! Which tokens a query may see.

use candle_core::{Device, Result, Tensor};
use std::ops::Range;

/// Which keys take part in a query's softmax. Masked keys are excluded: weight exactly 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// Every token sees every token.
    None,
    /// Token `i` sees tokens `0..=i`.
    Causal,
    /// Tokens `0..n` see each other, later ones see all before them and themselves.
    PrefixLm(usize),
    /// Prompt `b` holds `lengths[b] >= 1` tokens; the rest is padding that nobody sees.
    Padding(Vec<usize>),
}

impl Mask {
    /// Additive mask: 0 where the key is seen, minus infinity where not; broadcasts against scores
    /// `[batch, heads, queries, keys]`. `None` where nothing is masked.
    ///
    /// # Errors
    /// If candle cannot build the tensor.
    pub fn bias(
        &self,
        n_tokens: usize,
        dtype: candle_core::DType,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let bias = |seen: bool| if seen { 0.0_f64 } else { f64::NEG_INFINITY };
        let tensor = match self {
            Self::None => return Ok(None),
            Self::Causal => square(n_tokens, |i, j| bias(j <= i), device)?,
            Self::PrefixLm(n) => square(n_tokens, |i, j| bias(j < *n || j <= i), device)?,
            Self::Padding(lengths) => {
                let row = |length: &usize| (0..n_tokens).map(|j| bias(j < *length)).collect();
                let entries: Vec<f64> = lengths.iter().flat_map::<Vec<f64>, _>(row).collect();
                Tensor::from_vec(entries, (lengths.len(), 1, 1, n_tokens), device)?
            }
        };
        tensor.to_dtype(dtype).map(Some)
    }
}

/// Additive mask of a block of queries over the first `n_keys` keys, `[queries, n_keys]`: a query sees the
/// keys that `keys` marks (all without it), under `causal` those up to itself. `None` where nothing is
/// masked.
///
/// # Errors
/// If candle cannot build the tensor.
pub fn block(
    queries: Range<usize>,
    n_keys: usize,
    causal: bool,
    keys: Option<&[bool]>,
    dtype: candle_core::DType,
    device: &Device,
) -> Result<Option<Tensor>> {
    if !causal && keys.is_none() {
        return Ok(None);
    }
    let mut entries = vec![0.0_f64; queries.len() * n_keys];
    for (row, i) in entries.chunks_exact_mut(n_keys).zip(queries.clone()) {
        let marked = |j: usize| keys.is_none_or(|keys| keys[j]);
        for (j, bias) in row.iter_mut().enumerate() {
            if (causal && j > i) || !marked(j) {
                *bias = f64::NEG_INFINITY;
            }
        }
    }
    Tensor::from_vec(entries, (queries.len(), n_keys), device)?.to_dtype(dtype).map(Some)
}

/// `[1, 1, n, n]` with entries `f(query, key)`.
fn square(n: usize, f: impl Fn(usize, usize) -> f64, device: &Device) -> Result<Tensor> {
    let entries: Vec<f64> = (0..n * n).map(|ij| f(ij / n, ij % n)).collect();
    Tensor::from_vec(entries, (1, 1, n, n), device)
}
