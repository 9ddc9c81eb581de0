//! Regularised attention.
//!
//! The dual's loss gains `(alpha / 2 eta) |W|_F^2`. One full-batch gradient step then shrinks `W_0` by
//! `1 - alpha` and leaves the demonstrations' increments alone, so attention's query-side values are
//! scaled by `1 - alpha`.

use super::{Entry, Modification, Terms};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "regularised",
    equation: "v_t -> (1 - alpha) v_t on the query side",
    neutral: "alpha=0",
    examples: &["alpha=0.25", "alpha=1"],
    build: |options| {
        let alpha = options.number("alpha", 0.1, [0.0, 1.0])?;
        Ok(Box::new(Regularised { alpha }))
    },
};

/// `alpha` in `[0, 1]`.
#[derive(Debug)]
struct Regularised {
    alpha: f64,
}

impl Modification for Regularised {
    fn query_side_factor(&self) -> f64 {
        1.0 - self.alpha
    }

    fn terms(&self) -> Option<Terms> {
        Some(Terms { alpha: self.alpha as f32, ..Terms::PLAIN })
    }
}
