//! What is measured of a trained layer.

use crate::named::named;

named! {
    /// What is measured of a trained layer.
    pub(super) enum Measure {
        /// Loss relative to `E s^2`, on tasks of the pool `at`, or on fresh ones (`at` 0).
        Loss = "loss",
        /// Mean of `|W_1|_F` of the dual, its value the label.
        Norm = "norm",
        /// The bound on the mean gap at those norms.
        Bound = "bound",
        /// Mean of the gap's absolute value.
        Gap = "gap",
        /// Mean of the gap: loss over the population minus loss over the demonstrations.
        Optimism = "optimism",
    }
}

/// One number.
#[allow(clippy::struct_field_names, reason = "a value has a value, a measure has one too")]
pub(super) struct Value {
    pub(super) measure: Measure,
    /// Tasks of the pool on which it is measured; 0 for fresh ones.
    pub(super) at: usize,
    pub(super) value: f64,
}
