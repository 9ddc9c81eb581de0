//! Which tokens a query may see.

use crate::ModelError;
use candle_core::{DType, Device, Result, Tensor};
use std::ops::Range;

/// Which keys take part in a query's attention. Masked keys are excluded: weight exactly 0.
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
    /// [`Self::Padding`] and [`Self::Causal`] together.
    CausalPadding(Vec<usize>),
}

impl Mask {
    /// Additive mask: 0 where the key is seen, minus infinity where not; broadcasts against scores
    /// `[batch, heads, queries, keys]`. `None` where nothing is masked.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the lengths are not one of `1..=n_tokens` for every prompt: a query always sees
    /// a key. [`ModelError::Candle`] if candle cannot build the tensor.
    pub fn bias(
        &self,
        batch: usize,
        n_tokens: usize,
        dtype: DType,
        device: &Device,
    ) -> std::result::Result<Option<Tensor>, ModelError> {
        let seen: Vec<bool> = match self {
            Self::None => return Ok(None),
            Self::Causal => square(n_tokens, |i, j| j <= i),
            Self::PrefixLm(n) => square(n_tokens, |i, j| j < *n || j <= i),
            Self::Padding(lengths) => {
                let row = |length: &usize| (0..n_tokens).map(|j| j < *length).collect::<Vec<_>>();
                lengths.iter().flat_map(row).collect()
            }
            Self::CausalPadding(lengths) => {
                let one = |length: &usize| square(n_tokens, |i, j| j <= i && j < *length);
                lengths.iter().flat_map(one).collect()
            }
        };
        let (prompts, rows) = match self {
            Self::Padding(lengths) => (check_lengths(lengths, batch, n_tokens)?, 1),
            Self::CausalPadding(lengths) => (check_lengths(lengths, batch, n_tokens)?, n_tokens),
            _ => (1, n_tokens),
        };
        let bias = |seen: bool| if seen { 0.0_f64 } else { f64::NEG_INFINITY };
        let entries: Vec<f64> = seen.into_iter().map(bias).collect();
        let tensor = Tensor::from_vec(entries, (prompts, 1, rows, n_tokens), device)?;
        Ok(Some(tensor.to_dtype(dtype)?))
    }
}

/// The number of prompts, if there is a length for each and all are in range.
fn check_lengths(
    lengths: &[usize],
    batch: usize,
    n_tokens: usize,
) -> std::result::Result<usize, ModelError> {
    if lengths.len() != batch {
        let found = format!("{} lengths", lengths.len());
        return Err(ModelError::setting(
            "padding",
            found,
            format!("one for each of {batch} prompts"),
        ));
    }
    match lengths.iter().position(|length| !(1..=n_tokens).contains(length)) {
        None => Ok(batch),
        Some(b) => {
            let found = format!("length {} of prompt {b}", lengths[b]);
            Err(ModelError::setting("padding", found, format!("1 to {n_tokens} tokens")))
        }
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
    dtype: DType,
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

/// `[n, n]` with entries `f(query, key)`.
fn square(n: usize, f: impl Fn(usize, usize) -> bool) -> Vec<bool> {
    (0..n * n).map(|ij| f(ij / n, ij % n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_that_leaves_nothing_to_see_is_refused() {
        for (lengths, part) in
            [(vec![2, 0], "prompt 1"), (vec![4, 1], "1 to 3"), (vec![1], "each of 2 prompts")]
        {
            for mask in [Mask::Padding(lengths.clone()), Mask::CausalPadding(lengths)] {
                let error = mask.bias(2, 3, DType::F64, &Device::Cpu).unwrap_err().to_string();
                assert!(error.contains(part), "{mask:?}: {error}");
            }
        }
    }
}
