//! The embedding: rows of three tables, added; and the gradients of the tables.
//!
//! Outside candle's graph: its gradient of a selection of rows would copy the whole table of word pieces for
//! every step.

use super::input::Batch;
use super::model::Embedded;
use super::variables::{POSITIONS, SEGMENTS, WORDS};
use crate::ModelError;
use crate::attention::Parameters;
use candle_core::{DType, Device, Tensor};
use std::ops::{Add, Range};

/// Where the three tables stand in packed parameters.
#[derive(Debug, Clone)]
pub struct Tables {
    words: Range<usize>,
    positions: Range<usize>,
    segments: Range<usize>,
    d: usize,
}

impl Tables {
    /// The tables of parameters laid out like `layout`, for tokens of size `d`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if one is missing.
    pub fn new(layout: &Parameters, d: usize) -> Result<Self, ModelError> {
        let range = |name: &str| {
            let absent = || ModelError::setting("variables", "others", name);
            layout.range(name).ok_or_else(absent)
        };
        Ok(Self {
            words: range(WORDS)?,
            positions: range(POSITIONS)?,
            segments: range(SEGMENTS)?,
            d,
        })
    }

    /// Whether a variable is one of them.
    pub fn holds(name: &str) -> bool {
        [WORDS, POSITIONS, SEGMENTS].contains(&name)
    }

    /// The table of word pieces.
    pub fn words<'a>(&self, packed: &'a [f32]) -> &'a [f32] {
        &packed[self.words.clone()]
    }

    /// `words[id] + segments[s] + positions[i]` of every token.
    ///
    /// # Errors
    /// If candle cannot build a tensor.
    pub fn embed(
        &self,
        packed: &[f32],
        batch: &Batch,
        dtype: DType,
        device: &Device,
    ) -> Result<Embedded, ModelError> {
        let shape = (batch.n, batch.n_tokens, self.d);
        let tokens = match dtype {
            DType::F64 => Tensor::from_vec(self.sums(packed, batch, f64::from), shape, device)?,
            _ => {
                Tensor::from_vec(self.sums(packed, batch, |x| x), shape, device)?.to_dtype(dtype)?
            }
        };
        Embedded::new(tokens, &batch.real)
    }

    fn sums<T: Copy + Add<Output = T>>(
        &self,
        packed: &[f32],
        batch: &Batch,
        number: impl Fn(f32) -> T,
    ) -> Vec<T> {
        let mut sums = Vec::with_capacity(batch.ids.len() * self.d);
        for token in 0..batch.ids.len() {
            let [word, segment, position] = self.rows(batch, token).map(|row| &packed[row]);
            let parts = word.iter().zip(segment).zip(position);
            sums.extend(parts.map(|((w, s), p)| number(*w) + number(*s) + number(*p)));
        }
        sums
    }

    /// Rows of word piece, segment and position of a token.
    fn rows(&self, batch: &Batch, token: usize) -> [Range<usize>; 3] {
        let row = |table: &Range<usize>, i: usize| {
            table.start + i * self.d..table.start + (i + 1) * self.d
        };
        [
            row(&self.words, batch.ids[token] as usize),
            row(&self.segments, batch.segments[token] as usize),
            row(&self.positions, token % batch.n_tokens),
        ]
    }

    /// The sums of real tokens alone, one sequence after another, `[tokens, d]`.
    pub(super) fn embed_real(&self, packed: &[f32], batch: &Batch) -> Vec<f32> {
        let all = self.sums(packed, batch, |x| x);
        if batch.real.iter().all(|real| *real) {
            return all;
        }
        let mut own = Vec::with_capacity(all.len());
        let rows = all.chunks_exact(self.d).zip(&batch.real);
        rows.filter(|(_, real)| **real).for_each(|(row, _)| own.extend_from_slice(row));
        own
    }

    /// Adds the gradient of every real token, `[tokens, d]`, to its rows of the packed gradient, token by token.
    pub(super) fn add_gradient_of_real(
        &self,
        batch: &Batch,
        of_tokens: &[f32],
        gradient: &mut [f32],
    ) {
        let real = (0..batch.real.len()).filter(|token| batch.real[*token]);
        for (token, of_token) in real.zip(of_tokens.chunks_exact(self.d)) {
            for row in self.rows(batch, token) {
                gradient[row].iter_mut().zip(of_token).for_each(|(sum, g)| *sum += g);
            }
        }
    }

    /// Adds the gradient of every token, `[batch, tokens, d]`, to its rows of the packed gradient, token by token.
    pub fn add_gradient(&self, batch: &Batch, of_tokens: &[f32], gradient: &mut [f32]) {
        for (token, of_token) in of_tokens.chunks_exact(self.d).enumerate() {
            if batch.real[token] {
                for row in self.rows(batch, token) {
                    gradient[row].iter_mut().zip(of_token).for_each(|(sum, g)| *sum += g);
                }
            }
        }
    }
}
