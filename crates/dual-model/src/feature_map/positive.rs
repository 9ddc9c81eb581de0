//! Positive random features (FAVOR+).

use super::{Entry, Estimate, FeatureMap, Scaled, pair_products, shifted, squared_sum};
use icl_numerics::{largest, math, order};
use std::f64::consts::LN_10;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "positive",
    title: "Positive random features",
    equation: "exp(omega . x - |x|^2/2) / sqrt(d_r)",
    variance: "K^2 e^z (1 - e^{-z}) / d_r",
    options: "",
    source: "K. Choromanski et al. (2021), FAVOR+",
    examples: &[""],
    estimate: Estimate::Unbiased,
    fitted: false,
    build: |_, setting| Ok(Box::new(Positive::new(setting.gaussian_rows(setting.d_r)))),
};

/// `phi_r(x) = exp(omega_r . x - |x|^2 / 2) / sqrt(d_r)`, `omega_r ~ N(0, I)`.
///
/// Variance of one feature's estimate, `z = |x + y|^2`, `K = exp(x . y)`: `K^2 e^z (1 - e^{-z})`.
/// Source: K. Choromanski et al., "Rethinking attention with Performers" (2021).
#[derive(Debug, Clone)]
pub struct Positive {
    omegas: Vec<Vec<f64>>,
}

impl Positive {
    /// The map with the given rows `omega_r`.
    pub fn new(omegas: Vec<Vec<f64>>) -> Self {
        Self { omegas }
    }

    fn scaled(&self, x: &[f64]) -> Scaled {
        let half_norm = order::dot(x, x) / 2.0;
        let scale = 1.0 / (self.omegas.len() as f64).sqrt();
        let exponent = |omega: &Vec<f64>| order::dot(omega, x) - half_norm;
        Scaled::common(scale, self.omegas.iter().map(exponent).collect())
    }
}

/// `log10 d_r` at which positive features estimate a kernel entry of `z = |x + y|^2` with this relative error: from
/// `sqrt((e^z - 1) / d_r) = relative_error`, and at least one feature.
///
/// NaN if `z` is not a number at all; the logarithm has a value where `d_r` itself would overflow.
pub fn log10_features(z: f64, relative_error: f64) -> f64 {
    // e^z - 1 = e^z (1 - e^{-z})
    let ln = z + math::ln(-math::expm1(-z)) - 2.0 * math::ln(relative_error);
    largest::at_least(ln / LN_10, 0.0)
}

impl FeatureMap for Positive {
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
        let kernel = self.kernel(x, y);
        Some(kernel * kernel * math::expm1(squared_sum(x, y)) / self.omegas.len() as f64)
    }

    fn rows(&self) -> usize {
        self.omegas.len()
    }

    /// `exp(sum_{i<j} (x + y_i) . (x + y_j))`.
    fn row_moment(&self, x: &[f64], keys: &[&[f64]]) -> Option<f64> {
        Some(math::exp(pair_products(&shifted(x, keys, 1.0), 0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn variance_has_the_tabulated_values() {
        // closed form evaluated independently to twelve digits
        let one = Positive::new(vec![vec![0.0; 2]]);
        let v = one.variance(&[0.3, -0.2], &[0.1, 0.4]).unwrap();
        Tolerance::stated(1e-11, "printed digits").assert_close(v, 0.200_333_500_040, v, "z = .2");
        let v = one.variance(&[1.0, 0.0], &[0.0, 1.0]).unwrap();
        Tolerance::stated(1e-11, "printed digits").assert_close(v, 6.389_056_098_931, v, "z = 2");
    }
    #[test]
    fn as_many_features_as_are_asked_for_have_the_relative_error() {
        let tolerance = Tolerance::roundoff_f64(100);
        for z in [0.01, 1.0, 9.0, 40.0] {
            let d_r = math::powf(10.0, log10_features(z, 0.1));
            let x = [z.sqrt() / 2.0];
            let one = Positive::new(vec![vec![0.0]]);
            let kernel = one.kernel(&x, &x);
            let error = (one.variance(&x, &x).unwrap() / d_r).sqrt() / kernel;
            if d_r > 1.0 {
                // the exponents' rounding is multiplied by their size
                tolerance.assert_close(error, 0.1, 1.0, &format!("z = {z}"));
            } else {
                assert!(error < 0.1);
            }
        }
        assert_eq!(log10_features(0.0, 0.1), 0.0);
        assert!((log10_features(1000.0, 0.1) - (1000.0 / LN_10 + 2.0)).abs() < 1e-9);
        assert!(log10_features(f64::NAN, 0.1).is_nan());
    }
}
