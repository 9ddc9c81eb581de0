//! The head of masked words: scores of every word piece at chosen tokens, the map to them tied to the embedding.

use super::buffer::Buffer;
use super::encoder::{Encoded, Encoder};
use super::matrix::{Map, Matrix, Run};
use super::{Norm, Ragged};
use crate::attention::Parameters;
use crate::bert::model::{Bert, Last};
use crate::bert::variables::{MASKED, WORDS};
use icl_numerics::lanes::Isa;

/// An encoder with the head of masked words, of one layout of parameters.
#[derive(Debug, Clone)]
pub(in crate::bert) struct FusedMaskedWords {
    pub(in crate::bert) encoder: Encoder,
    transform: Map,
    norm: Norm,
    /// Its weight is the embedding's table.
    decoder: Map,
}

/// What the way back needs.
pub(in crate::bert) struct Pass {
    encoded: Encoded,
    /// Rows of all tokens.
    n_tokens: usize,
    chosen: Matrix,
    inner: Matrix,
    active: Matrix,
    normed: Matrix,
    scores: Matrix,
}

impl Pass {
    /// `[places, vocab_size]`.
    pub(in crate::bert) fn scores(&self) -> &[f32] {
        &self.scores.entries
    }
}

impl FusedMaskedWords {
    /// None where the modification or the activation exists as candle operations only, or a variable is missing.
    pub(in crate::bert) fn new(bert: &Bert, layout: &Parameters, isa: Isa) -> Option<Self> {
        let bias = layout.range(&format!("{MASKED}.bias"))?;
        Some(Self {
            encoder: Encoder::new(bert, layout, isa)?,
            transform: Map::find(layout, &format!("{MASKED}.transform.dense"))?,
            norm: Norm::find(layout, &format!("{MASKED}.transform.LayerNorm"))?,
            decoder: Map { weight: layout.range(WORDS)?, bias },
        })
    }

    /// Scores at `places`, numbers of tokens counted over all sequences, with all that the way back needs.
    pub(in crate::bert) fn forward(
        &self,
        run: &Run<'_>,
        embedded: &[f32],
        ragged: Ragged<'_>,
        places: &[usize],
    ) -> Pass {
        let settings = &self.encoder.settings;
        let (states, encoded) = self.encoder.forward(run, embedded, ragged, Last::All);
        let chosen = rows(run, &states, places);
        let inner = run.apply(&self.transform, &chosen);
        let mut active = inner.clone();
        settings.activate(&mut active.entries);
        let normed = settings.normed(run, &self.norm, &active.entries);
        let scores = run.apply(&self.decoder, &normed);
        Pass { encoded, n_tokens: states.rows, chosen, inner, active, normed, scores }
    }

    /// The gradient of the embedded tokens from that of the scores; all others are put into `gradient`: the embedding's
    /// table has there what comes to it as the map to scores.
    pub(in crate::bert) fn backward(
        &self,
        run: &Run<'_>,
        mut pass: Pass,
        of_scores: &[f32],
        (ragged, places): (Ragged<'_>, &[usize]),
        gradient: &mut [f32],
    ) -> Buffer {
        let settings = &self.encoder.settings;
        let of_scores = Matrix::new(run.pool.copy(of_scores), pass.scores.columns);
        let g = run.gradient(&self.decoder, &pass.normed, &of_scores, gradient);
        let (norm, active) = (&self.norm, &pass.active.entries);
        let g = settings.norm_gradient(run, norm, active, &g.entries, gradient);
        let mut g = Matrix::new(g, settings.d);
        settings.activation_gradient(&mut pass.inner.entries, &mut g.entries);
        let g = run.gradient(&self.transform, &pass.chosen, &g, gradient);
        let mut of_states = run.pool.zeros(pass.n_tokens * settings.d);
        for (place, row) in places.iter().zip(g.entries.chunks_exact(settings.d)) {
            of_states[place * settings.d..(place + 1) * settings.d].copy_from_slice(row);
        }
        let of_states = Matrix::new(of_states, settings.d);
        self.encoder.backward(run, pass.encoded, of_states, ragged, gradient)
    }
}

/// The rows of these numbers.
fn rows(run: &Run<'_>, x: &Matrix, numbers: &[usize]) -> Matrix {
    let d = x.columns;
    let mut chosen = run.pool.take(numbers.len() * d);
    for (row, number) in chosen.chunks_exact_mut(d).zip(numbers) {
        row.copy_from_slice(&x.entries[number * d..(number + 1) * d]);
    }
    Matrix::new(chosen, d)
}
