//! The modifications combined: values `g1`, then negatives, then `1 - alpha` on the query side.

use super::augmented::Augmented;
use super::negative::Negative;
use super::{Entry, Modification, ParameterSpec, Terms, Weights};
use crate::ModelError;
use candle_core::Tensor;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "combined",
    equation: "g1 and g2, then negatives, then (1 - alpha) on the query side",
    neutral: "alpha=0,on=none,beta=0",
    examples: &["alpha=0.5,on=both,hidden=3,m=2,beta=0.25"],
    build: |options| {
        let alpha = options.number("alpha", 0.1, [0.0, 1.0])?;
        let augmented = Augmented::from_options(options)?;
        let negative = Negative::from_options(options)?;
        Ok(Box::new(Combined { alpha, augmented, negative }))
    },
};

#[derive(Debug)]
struct Combined {
    alpha: f64,
    augmented: Augmented,
    negative: Negative,
}

impl Modification for Combined {
    fn variables(&self, d: usize) -> Vec<ParameterSpec> {
        self.augmented.variables(d)
    }

    fn keys(&self, weights: &Weights, keys: &Tensor) -> Result<Tensor, ModelError> {
        self.augmented.keys(weights, keys)
    }

    fn values(&self, weights: &Weights, values: &Tensor) -> Result<Tensor, ModelError> {
        self.augmented.values(weights, values)
    }

    fn mix(&self, scores: &Tensor, values: &Tensor) -> Result<Tensor, ModelError> {
        self.negative.mix(scores, values)
    }

    fn needs_scores(&self) -> bool {
        self.negative.needs_scores()
    }

    fn query_side_factor(&self) -> f64 {
        1.0 - self.alpha
    }

    fn terms(&self) -> Option<Terms> {
        let negatives = self.negative.terms()?.negatives;
        Some(Terms { alpha: self.alpha as f32, negatives, ..self.augmented.terms()? })
    }
}
