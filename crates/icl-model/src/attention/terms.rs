//! The terms of which modifications of the source are made.

use super::Augmentation;

/// A modification made of the three known terms; what the fused kernel computes and has a dual loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// `alpha` on the query side.
    pub alpha: f32,
    /// `g1`.
    pub values: Augmentation,
    /// `g2`.
    pub keys: Augmentation,
    /// `(m, beta)` of the negatives.
    pub negatives: Option<(usize, f32)>,
}

impl Terms {
    /// Plain attention.
    pub const PLAIN: Self = Self {
        alpha: 0.0,
        values: Augmentation::IDENTITY,
        keys: Augmentation::IDENTITY,
        negatives: None,
    };
}
