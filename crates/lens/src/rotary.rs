//! Rotary positions: every pair of dimensions of a query or key turns by an angle that grows with the
//! token's position, `t theta^(-2i/d_h)` for pair `i`.
//!
//! The angles' cosines and sines are numbers of the layer, as its weights are; attention and dual read the
//! same and apply them each in its own way.

use crate::error::{LensError, Result};
use crate::options::RotaryStyle;
use icl_numerics::math;

/// Cosines and sines, `[tokens, d_h / 2]`.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    pub(crate) style: RotaryStyle,
    pub(crate) pairs: usize,
    pub(crate) cosines: Vec<f64>,
    pub(crate) sines: Vec<f64>,
}

impl Rotary {
    /// The turns of `n_tokens` tokens.
    pub(crate) fn new(
        theta: f64,
        style: RotaryStyle,
        size: usize,
        n_tokens: usize,
    ) -> Result<Self> {
        if !size.is_multiple_of(2) {
            let found = format!("heads of size {size}");
            let next = "leave --rotary out or correct --heads";
            return Err(LensError::refused("--rotary", found, "an even one", next));
        }
        let pairs = size / 2;
        let frequency = |i: usize| math::powf(theta, -2.0 * i as f64 / size as f64);
        let frequencies: Vec<f64> = (0..pairs).map(frequency).collect();
        let turn = |f: fn(f64) -> f64| -> Vec<f64> {
            let angles = (0..n_tokens).flat_map(|t| frequencies.iter().map(move |w| t as f64 * w));
            angles.map(f).collect()
        };
        Ok(Self { style, pairs, cosines: turn(math::cos), sines: turn(math::sin) })
    }

    /// The two dimensions of pair `i`.
    pub(crate) fn pair(&self, i: usize) -> (usize, usize) {
        match self.style {
            RotaryStyle::Half => (i, i + self.pairs),
            RotaryStyle::Interleaved => (2 * i, 2 * i + 1),
        }
    }
}
