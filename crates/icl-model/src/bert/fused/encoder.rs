//! Embedding and layers of the fused pass, on which every head stands.

use super::buffer::{Buffer, Pool};
use super::layer::{Layer, Stored};
use super::matrix::{Matrix, Run};
use super::{Norm, Ragged, Settings, scale};
use crate::attention::{Parameters, Rule, Steps, Terms};
use crate::bert::dropout::Site;
use crate::bert::model::{Bert, Last};
use crate::bert::variables::layer as layer_name;
use icl_numerics::lanes::Isa;

/// An encoder of one layout of parameters.
#[derive(Debug, Clone)]
pub(in crate::bert) struct Encoder {
    pub(super) settings: Settings,
    embedding: Norm,
    layers: Vec<Layer>,
    pool: Pool,
}

/// What the way back needs.
pub(super) struct Encoded {
    embedded: Buffer,
    factors: Buffer,
    layers: Vec<Stored>,
}

impl Encoder {
    /// None where the modification exists as candle operations only, as other rules of negatives than the lowest
    /// scores and steps on each demonstration do here.
    pub(super) fn new(bert: &Bert, layout: &Parameters, isa: Isa) -> Option<Self> {
        let config = &bert.config;
        let known = |terms: &Terms| {
            let lowest = terms.negatives.is_none_or(|of| of.rule == Rule::Lowest);
            lowest && terms.steps == Steps::Batch
        };
        let terms = bert.modification.terms().filter(known)?;
        let settings = Settings {
            d: config.hidden_size,
            heads: config.num_attention_heads,
            epsilon: config.layer_norm_eps,
            activation: config.hidden_act,
            terms,
            isa,
        };
        let layers = (0..config.num_hidden_layers)
            .map(|l| Layer::new(l, &layer_name(l), layout, &settings))
            .collect::<Option<Vec<_>>>()?;
        let embedding = Norm::find(layout, "embeddings.LayerNorm")?;
        Some(Self { settings, embedding, layers, pool: Pool::default() })
    }

    /// A run by these parameters, on the caller's thread.
    pub(in crate::bert) fn run<'a>(&self, packed: &'a [f32]) -> Run<'a> {
        Run::new(packed, self.settings.isa, &self.pool)
    }

    /// Last hidden states of all tokens, `[tokens, d]`, from embedded tokens.
    pub(in crate::bert) fn encode(
        &self,
        run: &Run<'_>,
        embedded: &[f32],
        ragged: Ragged<'_>,
    ) -> Vec<f32> {
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

    /// Last hidden states of all tokens or of the first of every sequence, with all that the way back needs.
    pub(super) fn forward(
        &self,
        run: &Run<'_>,
        embedded: &[f32],
        ragged: Ragged<'_>,
        last: Last,
    ) -> (Matrix, Encoded) {
        let (mut x, factors) = self.embed(run, embedded, ragged);
        let mut layers = Vec::with_capacity(self.layers.len());
        for (l, layer) in self.layers.iter().enumerate() {
            // only the last layer may leave tokens out
            let last = if l + 1 == self.layers.len() { last } else { Last::All };
            let (next, stored) = layer.forward(&self.settings, run, x, ragged, last);
            x = next;
            layers.push(stored);
        }
        (x, Encoded { embedded: run.pool.copy(embedded), factors, layers })
    }

    /// The gradient of the embedded tokens from that of the last hidden states; all others are put into `gradient`.
    pub(super) fn backward(
        &self,
        run: &Run<'_>,
        encoded: Encoded,
        mut g: Matrix,
        ragged: Ragged<'_>,
        gradient: &mut [f32],
    ) -> Buffer {
        for (layer, stored) in self.layers.iter().zip(encoded.layers).rev() {
            g = layer.backward(&self.settings, run, stored, &g, ragged, gradient);
        }
        scale(&mut g.entries, &encoded.factors);
        self.settings.norm_gradient(run, &self.embedding, &encoded.embedded, &g.entries, gradient)
    }
}
