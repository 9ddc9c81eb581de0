//! The user's tokens and what of them each query sees.

use crate::error::{LensError, Result};
use crate::options::{Mask, Options};
use crate::tensor_file::{Array, TensorFile};

/// Tokens `[batch, n_tokens, d]` and their mask.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) tokens: Vec<f64>,
    pub(crate) batch: usize,
    pub(crate) n_tokens: usize,
    pub(crate) d: usize,
    /// Whether the tokens came with a batch axis.
    pub(crate) batched: bool,
    pub(crate) n_demos: usize,
    pub(crate) causal: bool,
    /// Which tokens are none of the padding, `[batch, n_tokens]`.
    real: Option<Vec<bool>>,
}

/// What the queries of one sequence see: the first `counts[i]` of the keys `keys`.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) keys: Vec<usize>,
    pub(crate) counts: Vec<usize>,
}

impl Input {
    /// Reads and checks the tokens.
    pub(crate) fn read(options: &Options, file: &TensorFile) -> Result<Self> {
        let known = ["tokens", "attention_mask", "lengths"];
        if let Some(name) = file.names().find(|name| !known.contains(name)) {
            let shape = file.shape(name).unwrap_or_default();
            let found = format!("an extra one of shape {shape:?}");
            return Err(file.refuse(
                name,
                found,
                format!("only {}", known.join(", ")),
                "leave it out",
            ));
        }
        let expected = "[T, d] or [B, T, d]";
        let Array { shape, values } = file.array("tokens", expected)?;
        let (batch, n_tokens, d) = match *shape.as_slice() {
            [t, d] => (1, t, d),
            [b, t, d] => (b, t, d),
            _ => {
                let found = format!("shape {shape:?}");
                return Err(file.refuse("tokens", found, expected, "bring the tokens to it"));
            }
        };
        let n_demos = options.demos.unwrap_or(n_tokens - 1);
        if n_demos > n_tokens {
            let expected = format!("at most T = {n_tokens}, the number of tokens");
            return Err(LensError::refused("--demos", n_demos.to_string(), expected, "lower it"));
        }
        let real = real(file, batch, n_tokens)?;
        let (batched, causal) = (shape.len() == 3, options.mask == Mask::Causal);
        Ok(Self { tokens: values, batch, n_tokens, d, batched, n_demos, causal, real })
    }

    /// The tokens `rows` of sequence `b`.
    pub(crate) fn rows(&self, b: usize, rows: std::ops::Range<usize>) -> &[f64] {
        let start = b * self.n_tokens;
        &self.tokens[(start + rows.start) * self.d..(start + rows.end) * self.d]
    }

    /// Which tokens of sequence `b` are none of its padding; nothing if there is none.
    pub(crate) fn real(&self, b: usize) -> Option<&[bool]> {
        self.real.as_ref().map(|real| &real[b * self.n_tokens..(b + 1) * self.n_tokens])
    }

    /// What the queries of sequence `b` see.
    pub(crate) fn seen(&self, b: usize) -> Seen {
        let real = self.real(b);
        let is_real = |j: &usize| real.is_none_or(|real| real[*j]);
        let keys: Vec<usize> = (0..self.n_tokens).filter(is_real).collect();
        let count = |i: usize| {
            if self.causal { keys.partition_point(|j| *j <= i) } else { keys.len() }
        };
        let counts = (0..self.n_tokens).map(count).collect();
        Seen { keys, counts }
    }

    /// Number of queries that see nothing.
    pub(crate) fn blind(&self) -> usize {
        let blind = |b: usize| self.seen(b).counts.iter().filter(|count| **count == 0).count();
        if self.real.is_some() { (0..self.batch).map(blind).sum() } else { 0 }
    }

    /// Whether the file had a mask.
    pub(crate) fn padded(&self) -> bool {
        self.real.is_some()
    }
}

/// The padding mask `[batch, n_tokens]` of `attention_mask` or `lengths`, if the file has one.
fn real(file: &TensorFile, batch: usize, n_tokens: usize) -> Result<Option<Vec<bool>>> {
    let has = |name: &str| file.shape(name).is_some();
    match (has("attention_mask"), has("lengths")) {
        (false, false) => Ok(None),
        (true, true) => {
            let next = "leave one of them out";
            Err(file.refuse("lengths", "it beside attention_mask", "one of both", next))
        }
        (true, false) => masked(file, batch, n_tokens).map(Some),
        (false, true) => by_lengths(file, batch, n_tokens).map(Some),
    }
}

/// `attention_mask`, `[B, T]` or `[T]`: 1 is a token, 0 padding.
fn masked(file: &TensorFile, batch: usize, n_tokens: usize) -> Result<Vec<bool>> {
    let (name, next) = ("attention_mask", "correct it");
    let expected = format!("[{batch}, {n_tokens}] or [{n_tokens}]");
    let Array { shape, values } = file.numbers(name, &expected)?;
    if shape != [batch, n_tokens] && shape != [n_tokens] {
        return Err(file.refuse(name, format!("shape {shape:?}"), expected, next));
    }
    if let Some(i) = values.iter().position(|x| *x != 0.0 && *x != 1.0) {
        let found = format!("{} at entry {i}", values[i]);
        return Err(file.refuse(name, found, "0 (padding) or 1 (a token)", next));
    }
    let copies = batch * n_tokens / values.len();
    let row: Vec<bool> = values.iter().map(|x| *x == 1.0).collect();
    Ok(row.repeat(copies))
}

/// `lengths`, `[B]`: tokens before the padding.
fn by_lengths(file: &TensorFile, batch: usize, n_tokens: usize) -> Result<Vec<bool>> {
    let (name, next) = ("lengths", "correct it");
    let Array { shape, values } = file.numbers(name, &format!("[{batch}]"))?;
    if shape != [batch] {
        let found = format!("shape {shape:?}");
        return Err(file.refuse(name, found, format!("[{batch}], one a sequence"), next));
    }
    let fits = |x: &f64| *x >= 0.0 && *x <= n_tokens as f64 && x.fract() == 0.0;
    if let Some(i) = values.iter().position(|x| !fits(x)) {
        let found = format!("{} at entry {i}", values[i]);
        let expected = format!("a whole number from 0 to T = {n_tokens}");
        return Err(file.refuse(name, found, expected, next));
    }
    let real = |length: &f64| (0..n_tokens).map(|j| (j as f64) < *length).collect::<Vec<_>>();
    Ok(values.iter().flat_map(real).collect())
}
