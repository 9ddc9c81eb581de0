//! Hyperbolic features: positive features in antithetic pairs.

use super::{Entry, Estimate, FeatureMap, Scaled, even_moment, shifted, squared_sum};
use icl_numerics::{math, order};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "hyperbolic",
    title: "Positive features in antithetic pairs",
    equation: "exp(-|x|^2/2) / sqrt(d_r) [exp(omega . x), exp(-omega . x)], d_r/2 rows",
    variance: "K^2 e^z (1 - e^{-z})^2 / d_r",
    options: "",
    source: "K. Choromanski et al. (2021), the hyp+ estimator",
    examples: &[""],
    estimate: Estimate::Unbiased,
    fitted: false,
    build: |_, setting| {
        let rows = setting.gaussian_rows(setting.d_r.div_ceil(2));
        Ok(Box::new(Hyperbolic::new(rows)))
    },
};

/// `phi(x) = exp(-|x|^2/2) / sqrt(2 m) [exp(omega_r . x), exp(-omega_r . x)]`, `m` rows, `2 m` features.
///
/// Variance of `m` rows, `z = |x + y|^2`: `K^2 e^z (1 - e^{-z})^2 / (2 m)`.
/// Source: K. Choromanski et al., "Rethinking attention with Performers" (2021), the `hyp+` estimator.
#[derive(Debug, Clone)]
pub struct Hyperbolic {
    omegas: Vec<Vec<f64>>,
}

impl Hyperbolic {
    /// The map with the given rows `omega_r`.
    pub fn new(omegas: Vec<Vec<f64>>) -> Self {
        Self { omegas }
    }

    fn scaled(&self, x: &[f64]) -> Scaled {
        let half_norm = order::dot(x, x) / 2.0;
        let scale = 1.0 / (2.0 * self.omegas.len() as f64).sqrt();
        let pair = |omega: &Vec<f64>| {
            let projection = order::dot(omega, x);
            [projection - half_norm, -projection - half_norm]
        };
        Scaled::common(scale, self.omegas.iter().flat_map(pair).collect())
    }
}

impl FeatureMap for Hyperbolic {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        self.scaled(x).features()
    }

    fn scaled_key_features(&self, x: &[f64]) -> Scaled {
        self.scaled(x)
    }

    fn scaled_query_features(&self, x: &[f64]) -> Scaled {
        self.scaled(x)
    }

    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64> {
        let (z, kernel) = (squared_sum(x, y), self.kernel(x, y));
        // e^z (1 - e^{-z})^2 = (e^z - 1)(1 - e^{-z})
        let one = kernel * kernel * math::expm1(z) * -math::expm1(-z);
        Some(one / (2.0 * self.omegas.len() as f64))
    }

    fn rows(&self) -> usize {
        self.omegas.len()
    }

    /// Of two keys `cosh((x + y) . (x + y'))`.
    fn row_moment(&self, x: &[f64], keys: &[&[f64]]) -> Option<f64> {
        Some(even_moment(&shifted(x, keys, 1.0), 1.0))
    }
}
