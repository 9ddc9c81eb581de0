//! Regularised attention.
//!
//! The dual's loss gains `(alpha / 2 eta) |W|_F^2`. What attention that equals depends on the steps:
//!
//! ```text
//! batch     one step on all demonstrations:   W_1 = (1-alpha) W_0 + (1/D) sum_i v_i phi(k_i)^T
//! samples   one step on each, i = 1 .. N:     W_N = (1-alpha)^N W_0 + (1/D) sum_i (1-alpha)^(N-i) v_i phi(k_i)^T
//! ```
//!
//! So one full-batch step scales attention's query-side values by `1 - alpha` and leaves the demonstrations alone;
//! steps on each demonstration forget the early ones. Paper gap: which of the two the source means is not known.

use super::{Entry, Modification, Steps, Terms};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "regularised",
    equation: "v_t -> (1 - alpha) v_t on the query side; steps=samples: (1 - alpha)^N, and v_i -> (1 - alpha)^(N-i) v_i",
    neutral: "alpha=0",
    examples: &["alpha=0.25", "alpha=1", "alpha=0.25,steps=samples"],
    build: |options| {
        let steps =
            options.choice("steps", &[("batch", Steps::Batch), ("samples", Steps::Samples)])?;
        // samples: a whole step of shrinkage would leave the last demonstration alone
        let most = if steps == Steps::Batch { 1.0 } else { 0.99 };
        let alpha = options.number("alpha", 0.1, [0.0, most])?;
        Ok(Box::new(Regularised { alpha, steps }))
    },
};

#[derive(Debug)]
struct Regularised {
    /// In `[0, 1]`.
    alpha: f64,
    steps: Steps,
}

impl Modification for Regularised {
    fn query_side_factor(&self) -> f64 {
        match self.steps {
            Steps::Batch => 1.0 - self.alpha,
            Steps::Samples => 1.0,
        }
    }

    fn shrinkage(&self) -> f64 {
        match self.steps {
            Steps::Batch => 1.0,
            Steps::Samples => 1.0 - self.alpha,
        }
    }

    fn terms(&self) -> Option<Terms> {
        Some(Terms { alpha: self.alpha as f32, steps: self.steps, ..Terms::PLAIN })
    }
}
