//! The encoder and its heads as one hand-written pass, forward and back: the fast path on a CPU.
//!
//! Sequences lie one after another without padding, rows of numbers go through affine maps together, attention is done
//! head by head on lanes. [`model`](super::model) is the reference, by candle's operations and gradients.

mod attention;
mod augmented;
mod buffer;
mod classifier;
mod encoder;
mod heads;
mod layer;
mod masked_words;
mod matrix;
mod small;

pub(super) use classifier::FusedClassifier;
pub(super) use masked_words::FusedMaskedWords;

use super::config::Activation;
use super::dropout::{Dropout, Site};
use crate::attention::{Parameters, Terms};
use crate::ops;
use buffer::{Buffer, Pool};
use icl_numerics::lanes::Isa;
use matrix::{Matrix, Run};
use std::ops::Range;

/// Where gain and bias of a norm stand.
#[derive(Debug, Clone)]
struct Norm {
    gain: Range<usize>,
    bias: Range<usize>,
}

/// What all layers share.
#[derive(Debug, Clone, Copy)]
struct Settings {
    d: usize,
    heads: usize,
    epsilon: f64,
    activation: Activation,
    terms: Terms,
    isa: Isa,
}

/// Sequences one after another: their lengths, and whose dropout they have.
#[derive(Clone, Copy)]
pub(super) struct Ragged<'a> {
    pub(super) lengths: &'a [usize],
    pub(super) dropout: Option<&'a Dropout>,
}

impl Ragged<'_> {
    /// The rows of every sequence.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.lengths.iter().map(move |length| {
            let start = end;
            end += length;
            start..end
        })
    }

    /// Factors on rows of width `d`, `rows` of each sequence; empty where nothing is dropped.
    fn factors(&self, pool: &Pool, site: Site, rows: &[usize], d: usize) -> Buffer {
        let Some(dropout) = self.dropout.filter(|dropout| dropout.drops(site)) else {
            return pool.take(0);
        };
        let mut factors = pool.take(rows.iter().sum::<usize>() * d);
        let mut rest = &mut factors[..];
        for (b, rows) in rows.iter().enumerate() {
            let (own, after) = rest.split_at_mut(rows * d);
            dropout.fill(site, b as u64, own);
            rest = after;
        }
        factors
    }
}

impl Norm {
    /// The norm of this name.
    fn find(layout: &Parameters, name: &str) -> Option<Self> {
        let range = |part: &str| layout.range(&format!("{name}.{part}"));
        Some(Self { gain: range("weight")?, bias: range("bias")? })
    }
}

impl Settings {
    fn normed(&self, run: &Run<'_>, norm: &Norm, x: &[f32]) -> Matrix {
        let mut y = run.pool.copy(x);
        let rows = [run.get(&norm.gain), run.get(&norm.bias)];
        ops::norm_rows(self.isa, &mut y, rows, self.epsilon);
        Matrix::new(y, self.d)
    }

    /// The gradient of the rows `x` from that of their norm; those of gain and bias are put into `gradient`.
    fn norm_gradient(
        &self,
        run: &Run<'_>,
        norm: &Norm,
        x: &[f32],
        g: &[f32],
        gradient: &mut [f32],
    ) -> Buffer {
        let mut all = run.pool.take(x.len() + 2 * self.d);
        all[..x.len()].copy_from_slice(x);
        all[x.len()..].fill(0.0);
        ops::norm_gradient(self.isa, &mut all, run.get(&norm.gain), g, self.epsilon);
        let (of_gain, of_bias) = all[x.len()..].split_at(self.d);
        gradient[norm.gain.clone()].copy_from_slice(of_gain);
        gradient[norm.bias.clone()].copy_from_slice(of_bias);
        all.truncate(x.len());
        all
    }
}

/// `x factors`, entry by entry, where there are factors.
fn scale(x: &mut [f32], factors: &[f32]) {
    x.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
}
