//! The encoder and its classifier as one hand-written pass, forward and back: the fast path on a CPU.
//!
//! Sequences lie one after another without padding, rows of numbers go through affine maps together, attention is done
//! head by head on lanes. [`model`](super::model) is the reference, by candle's operations and gradients.

mod attention;
mod layer;
mod matrix;
mod small;

use super::config::Activation;
use super::dropout::{Dropout, Site};
use super::model::{Bert, Last};
use super::variables::{CLASSIFIER, POOLER, layer as layer_name};
use crate::ModelError;
use crate::attention::{Augmentation, Form, Parameters, Terms};
use crate::ops;
use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;
use layer::{Layer, Stored};
use matrix::{Map, Matrix, Variables};
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
    /// Numbers of the embedding's tables.
    tables: usize,
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
    fn factors(&self, site: Site, rows: &[usize], d: usize) -> Vec<f32> {
        let Some(dropout) = self.dropout else { return Vec::new() };
        let one = |(b, rows): (usize, &usize)| dropout.factors(site, b as u64, rows * d);
        rows.iter().enumerate().flat_map(one).flatten().collect()
    }
}

/// What the way back needs.
pub(super) struct Pass {
    embedded: Vec<f32>,
    embedding_factors: Vec<f32>,
    layers: Vec<Stored>,
    first: Matrix,
    pooled: Matrix,
    dropped: Matrix,
    pooled_factors: Vec<f32>,
    /// `[sequences, n_logits]`.
    pub(super) logits: Vec<f32>,
}

impl FusedClassifier {
    /// None where the modification or the activation exists as candle operations only.
    pub(super) fn new(bert: &Bert, layout: &Parameters, isa: Isa) -> Option<Self> {
        let config = &bert.config;
        let terms = bert.modification.terms()?;
        let identity = |g: Augmentation| g.form == Form::Identity || g.scale == 0.0;
        if !identity(terms.values) || !identity(terms.keys) {
            return None;
        }
        if config.hidden_act == Activation::GeluTanh {
            return None;
        }
        let norm = |name: &str| {
            let range = |part: &str| layout.range(&format!("{name}.{part}"));
            Some(Norm { gain: range("weight")?, bias: range("bias")? })
        };
        let map = |name: &str| {
            let range = |part: &str| layout.range(&format!("{name}.{part}"));
            Some(Map { weight: range("weight")?, bias: range("bias")? })
        };
        let embedding = norm("embeddings.LayerNorm")?;
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::new(l, &layer_name(l), &map, &norm))
            .collect::<Option<Vec<_>>>()?;
        let settings = Settings {
            d: config.hidden_size,
            heads: config.num_attention_heads,
            epsilon: config.layer_norm_eps,
            activation: config.hidden_act,
            terms,
            isa,
        };
        let tables = embedding.gain.start;
        let (pooler, classifier) = (map(POOLER)?, map(CLASSIFIER)?);
        Some(Self { settings, embedding, layers, pooler, classifier, tables })
    }

    /// The numbers of a run's parameters that this pass reads.
    pub(super) fn variables(&self, packed: &[f32]) -> Variables {
        Variables::new(packed, self.tables)
    }

    /// Last hidden states `[tokens, d]`, or those of the first tokens `[sequences, d]`, from embedded tokens.
    pub(super) fn encode(
        &self,
        variables: &Variables,
        embedded: &[f32],
        ragged: Ragged<'_>,
        last: Last,
    ) -> Result<Vec<f32>, ModelError> {
        let (mut x, _) = self.embed(variables, embedded, ragged);
        for (l, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&self.settings, variables, x, ragged, self.of_layer(l, last))?.0;
        }
        Ok(x.into_entries())
    }

    /// Only the last layer may leave tokens out.
    fn of_layer(&self, l: usize, last: Last) -> Last {
        if l + 1 == self.layers.len() { last } else { Last::All }
    }

    fn embed(
        &self,
        variables: &Variables,
        embedded: &[f32],
        ragged: Ragged<'_>,
    ) -> (Matrix, Vec<f32>) {
        let Settings { d, epsilon, isa, .. } = self.settings;
        let mut x = embedded.to_vec();
        let rows = [variables.get(&self.embedding.gain), variables.get(&self.embedding.bias)];
        ops::norm_rows(isa, &mut x, rows, epsilon);
        let factors = ragged.factors(Site::Embedding, ragged.lengths, d);
        scale(&mut x, &factors);
        (Matrix::new(x, d), factors)
    }

    /// Logits, with all that the way back needs.
    pub(super) fn forward(
        &self,
        variables: &Variables,
        embedded: Vec<f32>,
        ragged: Ragged<'_>,
    ) -> Result<Pass, ModelError> {
        let (mut x, embedding_factors) = self.embed(variables, &embedded, ragged);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (l, layer) in self.layers.iter().enumerate() {
            let last = self.of_layer(l, Last::First);
            let (next, stored) = layer.forward(&self.settings, variables, x, ragged, last)?;
            x = next;
            layers.push(stored);
        }
        let mut pooled = variables.apply(&self.pooler, &x)?;
        Function::Tanh.map(self.settings.isa, pooled.entries_mut());
        let ones = vec![1; ragged.lengths.len()];
        let pooled_factors = ragged.factors(Site::Pooler, &ones, self.settings.d);
        let mut dropped = pooled.clone();
        scale(dropped.entries_mut(), &pooled_factors);
        let logits = variables.apply(&self.classifier, &dropped)?.into_entries();
        let first = x;
        Ok(Pass {
            embedded,
            embedding_factors,
            layers,
            first,
            pooled,
            dropped,
            pooled_factors,
            logits,
        })
    }

    /// The gradient of the embedded tokens from that of the logits; all others are put into `gradient`.
    pub(super) fn backward(
        &self,
        variables: &Variables,
        pass: Pass,
        of_logits: Vec<f32>,
        ragged: Ragged<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<f32>, ModelError> {
        let n_logits = of_logits.len() / ragged.lengths.len();
        let of_logits = Matrix::new(of_logits, n_logits);
        let mut g = variables.gradient(&self.classifier, &pass.dropped, &of_logits, gradient)?;
        scale(g.entries_mut(), &pass.pooled_factors);
        let slopes = g.entries_mut().iter_mut().zip(pass.pooled.entries());
        slopes.for_each(|(g, y)| *g *= 1.0 - y * y);
        g = variables.gradient(&self.pooler, &pass.first, &g, gradient)?;
        for (layer, stored) in self.layers.iter().zip(pass.layers).rev() {
            g = layer.backward(&self.settings, variables, stored, g, ragged, gradient)?;
        }
        scale(g.entries_mut(), &pass.embedding_factors);
        let norm = &self.embedding;
        Ok(self.settings.norm_gradient(variables, norm, &pass.embedded, g.entries(), gradient))
    }
}

impl Settings {
    /// The gradient of the rows `x` from that of their norm; those of gain and bias are put into `gradient`.
    fn norm_gradient(
        &self,
        variables: &Variables,
        norm: &Norm,
        x: &[f32],
        g: &[f32],
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let gain = variables.get(&norm.gain);
        let mut all = ops::norm_gradient(self.isa, x, gain, g, self.epsilon);
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
