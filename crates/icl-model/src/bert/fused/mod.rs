//! The encoder and its classifier as one hand-written pass, forward and back: the fast path on a CPU.
//!
//! Sequences lie one after another without padding, rows of numbers go through affine maps together, attention is done
//! head by head on lanes. [`model`](super::model) is the reference, by candle's operations and gradients.

mod attention;
mod augmented;
mod buffer;
mod heads;
mod layer;
mod matrix;
mod small;

use super::config::Activation;
use super::dropout::{Dropout, Site};
use super::model::{Bert, Last};
use super::variables::{CLASSIFIER, POOLER, layer as layer_name};
use crate::attention::{Parameters, Terms};
use crate::ops;
use buffer::{Buffer, Pool};
use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;
use layer::{Layer, Stored};
use matrix::{Map, Matrix, Run};
use std::ops::Range;

/// Where gain and bias of a norm stand.
#[derive(Debug, Clone)]
struct Norm {
    gain: Range<usize>,
    bias: Range<usize>,
}

/// An encoder with pooler and classifier, of one layout of parameters.
#[derive(Debug, Clone)]
pub(super) struct FusedClassifier {
    settings: Settings,
    embedding: Norm,
    layers: Vec<Layer>,
    pooler: Map,
    classifier: Map,
    pool: Pool,
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

/// What the way back needs.
pub(super) struct Pass {
    embedded: Buffer,
    embedding_factors: Buffer,
    layers: Vec<Stored>,
    first: Matrix,
    pooled: Matrix,
    dropped: Matrix,
    pooled_factors: Buffer,
    logits: Matrix,
}

impl Pass {
    /// `[sequences, n_logits]`.
    pub(super) fn logits(&self) -> &[f32] {
        &self.logits.entries
    }
}

impl FusedClassifier {
    /// None where the modification exists as candle operations only.
    pub(super) fn new(bert: &Bert, layout: &Parameters, isa: Isa) -> Option<Self> {
        let config = &bert.config;
        let terms = bert.modification.terms()?;
        let norm = |name: &str| {
            let range = |part: &str| layout.range(&format!("{name}.{part}"));
            Some(Norm { gain: range("weight")?, bias: range("bias")? })
        };
        let map = |name: &str| {
            let range = |part: &str| layout.range(&format!("{name}.{part}"));
            Some(Map { weight: range("weight")?, bias: range("bias")? })
        };
        let embedding = norm("embeddings.LayerNorm")?;
        let settings = Settings {
            d: config.hidden_size,
            heads: config.num_attention_heads,
            epsilon: config.layer_norm_eps,
            activation: config.hidden_act,
            terms,
            isa,
        };
        let range = |name: &str| layout.range(name);
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::new(l, &layer_name(l), &map, &norm, &settings, &range))
            .collect::<Option<Vec<_>>>()?;
        let (pooler, classifier) = (map(POOLER)?, map(CLASSIFIER)?);
        Some(Self { settings, embedding, layers, pooler, classifier, pool: Pool::default() })
    }

    /// A run by these parameters, on the caller's thread.
    pub(super) fn run<'a>(&self, packed: &'a [f32]) -> Run<'a> {
        Run::new(packed, self.settings.isa, &self.pool)
    }

    /// Last hidden states of all tokens, `[tokens, d]`, from embedded tokens.
    pub(super) fn encode(&self, run: &Run<'_>, embedded: &[f32], ragged: Ragged<'_>) -> Vec<f32> {
        let (mut x, _) = self.embed(run, embedded, ragged);
        for layer in &self.layers {
            x = layer.forward(&self.settings, run, x, ragged, Last::All).0;
        }
        x.entries.to_vec()
    }

    fn embed(&self, run: &Run<'_>, embedded: &[f32], ragged: Ragged<'_>) -> (Matrix, Buffer) {
        let d = self.settings.d;
        let mut x = self.settings.normed(run, &self.embedding, embedded);
        let factors = ragged.factors(&run.pool, Site::Embedding, ragged.lengths, d);
        scale(&mut x.entries, &factors);
        (x, factors)
    }

    /// Logits, with all that the way back needs.
    pub(super) fn forward(&self, run: &Run<'_>, embedded: &[f32], ragged: Ragged<'_>) -> Pass {
        let (mut x, embedding_factors) = self.embed(run, embedded, ragged);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (l, layer) in self.layers.iter().enumerate() {
            // only the last layer may leave tokens out
            let last = if l + 1 == self.layers.len() { Last::First } else { Last::All };
            let (next, stored) = layer.forward(&self.settings, run, x, ragged, last);
            x = next;
            layers.push(stored);
        }
        let mut pooled = run.apply(&self.pooler, &x);
        Function::Tanh.map(self.settings.isa, &mut pooled.entries);
        let ones = vec![1; ragged.lengths.len()];
        let pooled_factors = ragged.factors(&run.pool, Site::Pooler, &ones, self.settings.d);
        let mut dropped = pooled.clone();
        scale(&mut dropped.entries, &pooled_factors);
        let logits = run.apply(&self.classifier, &dropped);
        let (embedded, first) = (run.pool.copy(embedded), x);
        Pass { embedded, embedding_factors, layers, first, pooled, dropped, pooled_factors, logits }
    }

    /// The gradient of the embedded tokens from that of the logits; all others are put into `gradient`.
    pub(super) fn backward(
        &self,
        run: &Run<'_>,
        pass: Pass,
        of_logits: &[f32],
        ragged: Ragged<'_>,
        gradient: &mut [f32],
    ) -> Buffer {
        let of_logits = Matrix::new(run.pool.copy(of_logits), pass.logits.columns);
        let mut g = run.gradient(&self.classifier, &pass.dropped, &of_logits, gradient);
        scale(&mut g.entries, &pass.pooled_factors);
        let slopes = g.entries.iter_mut().zip(pass.pooled.entries.iter());
        slopes.for_each(|(g, y)| *g *= 1.0 - y * y);
        g = run.gradient(&self.pooler, &pass.first, &g, gradient);
        for (layer, stored) in self.layers.iter().zip(pass.layers).rev() {
            g = layer.backward(&self.settings, run, stored, &g, ragged, gradient);
        }
        scale(&mut g.entries, &pass.embedding_factors);
        self.settings.norm_gradient(run, &self.embedding, &pass.embedded, &g.entries, gradient)
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
