//! Trigonometric features (random Fourier features of the softmax kernel).

use super::{Entry, Estimate, FeatureMap, Scaled, even_moment, shifted, squared_sum};
use icl_numerics::{math, order};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "trigonometric",
    title: "Cosines and sines",
    equation: "exp(|x|^2/2) / sqrt(d_r/2) [cos(omega . x), sin(omega . x)], d_r/2 rows",
    variance: "e^z K^{-2} (1 - e^{-|x - y|^2})^2 / d_r",
    options: "",
    source: "A. Rahimi, B. Recht (2007)",
    examples: &[""],
    estimate: Estimate::Unbiased,
    fitted: false,
    build: |_, setting| {
        let rows = setting.gaussian_rows(setting.d_r.div_ceil(2));
        Ok(Box::new(Trigonometric::new(rows)))
    },
};

/// `phi(x) = exp(|x|^2/2) / sqrt(m) [cos(omega_r . x), sin(omega_r . x)]`, `m` rows, `2 m` features.
///
/// Variance of `m` rows, `z = |x + y|^2`, `z- = |x - y|^2`: `e^z K^{-2} (1 - e^{-z-})^2 / (2 m)`. Estimates
/// may be negative, and so may the normaliser of an attention row.
/// Source: A. Rahimi, B. Recht, "Random features for large-scale kernel machines" (2007).
#[derive(Debug, Clone)]
pub struct Trigonometric {
    omegas: Vec<Vec<f64>>,
}

impl Trigonometric {
    /// The map with the given rows `omega_r`.
    pub fn new(omegas: Vec<Vec<f64>>) -> Self {
        Self { omegas }
    }

    /// All features share the exponent `|x|^2 / 2`.
    fn scaled(&self, x: &[f64]) -> Scaled {
        let scale = 1.0 / (self.omegas.len() as f64).sqrt();
        let pair = |omega: &Vec<f64>| {
            let angle = order::dot(omega, x);
            [scale * math::cos(angle), scale * math::sin(angle)]
        };
        let factors: Vec<f64> = self.omegas.iter().flat_map(pair).collect();
        Scaled { exponents: vec![order::dot(x, x) / 2.0; factors.len()], factors }
    }
}

impl FeatureMap for Trigonometric {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        let scale = math::exp(order::dot(x, x) / 2.0) / (self.omegas.len() as f64).sqrt();
        let pair = |omega: &Vec<f64>| {
            let angle = order::dot(omega, x);
            [scale * math::cos(angle), scale * math::sin(angle)]
        };
        self.omegas.iter().flat_map(pair).collect()
    }

    fn scaled_key_features(&self, x: &[f64]) -> Scaled {
        self.scaled(x)
    }

    fn scaled_query_features(&self, x: &[f64]) -> Scaled {
        self.scaled(x)
    }

    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64> {
        let minus: Vec<f64> = y.iter().map(|y| -y).collect();
        let (z, difference) = (squared_sum(x, y), squared_sum(x, &minus));
        let decay = math::expm1(-difference);
        let scale = math::exp(z - 2.0 * order::dot(x, y));
        Some(scale * decay * decay / (2.0 * self.omegas.len() as f64))
    }

    fn rows(&self) -> usize {
        self.omegas.len()
    }

    /// Of two keys `cosh((x - y) . (x - y'))`.
    fn row_moment(&self, x: &[f64], keys: &[&[f64]]) -> Option<f64> {
        Some(even_moment(&shifted(x, keys, -1.0), -1.0))
    }
}
