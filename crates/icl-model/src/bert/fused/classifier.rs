//! The pooler and the map to logits, on the first token's state.

use super::buffer::Buffer;
use super::encoder::{Encoded, Encoder};
use super::matrix::{Map, Matrix, Run};
use super::{Ragged, scale};
use crate::attention::Parameters;
use crate::bert::dropout::Site;
use crate::bert::model::{Bert, Last};
use crate::bert::variables::{CLASSIFIER, POOLER};
use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;

/// An encoder with pooler and classifier, of one layout of parameters.
#[derive(Debug, Clone)]
pub(in crate::bert) struct FusedClassifier {
    pub(in crate::bert) encoder: Encoder,
    pooler: Map,
    classifier: Map,
}

/// What the way back needs.
pub(in crate::bert) struct Pass {
    encoded: Encoded,
    first: Matrix,
    pooled: Matrix,
    dropped: Matrix,
    pooled_factors: Buffer,
    logits: Matrix,
}

impl Pass {
    /// `[sequences, n_logits]`.
    pub(in crate::bert) fn logits(&self) -> &[f32] {
        &self.logits.entries
    }
}

impl FusedClassifier {
    /// None where the modification or the activation exists as candle operations only.
    pub(in crate::bert) fn new(bert: &Bert, layout: &Parameters, isa: Isa) -> Option<Self> {
        let encoder = Encoder::new(bert, layout, isa)?;
        Some(Self {
            encoder,
            pooler: Map::find(layout, POOLER)?,
            classifier: Map::find(layout, CLASSIFIER)?,
        })
    }

    /// Logits, with all that the way back needs.
    pub(in crate::bert) fn forward(
        &self,
        run: &Run<'_>,
        embedded: &[f32],
        ragged: Ragged<'_>,
    ) -> Pass {
        let (first, encoded) = self.encoder.forward(run, embedded, ragged, Last::First);
        let settings = &self.encoder.settings;
        let mut pooled = run.apply(&self.pooler, &first);
        Function::Tanh.map(settings.isa, &mut pooled.entries);
        let ones = vec![1; ragged.lengths.len()];
        let pooled_factors = ragged.factors(&run.pool, Site::Pooler, &ones, settings.d);
        let mut dropped = pooled.clone();
        scale(&mut dropped.entries, &pooled_factors);
        let logits = run.apply(&self.classifier, &dropped);
        Pass { encoded, first, pooled, dropped, pooled_factors, logits }
    }

    /// The gradient of the embedded tokens from that of the logits; all others are put into `gradient`.
    pub(in crate::bert) fn backward(
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
        self.encoder.backward(run, pass.encoded, g, ragged, gradient)
    }
}
