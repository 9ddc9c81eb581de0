//! FAVOR++: positive features with a tuned damping of long rows.

use super::{Entry, Estimate, FeatureMap, Scaled, squared_sum};
use crate::DualError;
use icl_numerics::{math, order};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "favor++",
    title: "Positive features with tuned damping",
    equation: "(1-4A)^{d/4} exp(A |omega|^2 + sqrt(1-4A) omega . x - |x|^2/2) / sqrt(d_r)",
    variance: "((1-4A)^d (1-8A)^{-d/2} exp(2 (1-4A)/(1-8A) z - |x|^2 - |y|^2) - K^2) / d_r",
    options: "a = A from -1 to 0.12; without it the best for the data's mean z",
    source: "V. Likhosherstov et al. (2022)",
    examples: &["", "a=0", "a=-0.1"],
    estimate: Estimate::Unbiased,
    fitted: true,
    build: |options, setting| {
        let best = FavorPlusPlus::optimal_a(setting.mean_z, setting.d)?;
        let a = options.number("a", best, [-1.0, 0.12])?;
        let omegas = setting.gaussian_rows(setting.d_r);
        Ok(Box::new(FavorPlusPlus { omegas, a, d: setting.d }))
    },
};

/// `phi_r(x) = (1-4A)^{d/4} / sqrt(m) exp(A |omega_r|^2 + sqrt(1-4A) omega_r . x - |x|^2/2)`, `A < 1/8`.
///
/// Variance of `m` rows, `z = |x + y|^2`:
/// `[(1-4A)^d (1-8A)^{-d/2} exp(2 (1-4A)/(1-8A) z - |x|^2 - |y|^2) - K^2] / m`.
/// `A = 0` is the positive map. Source: V. Likhosherstov et al., "Chefs' random tables" (2022).
#[derive(Debug, Clone)]
pub struct FavorPlusPlus {
    omegas: Vec<Vec<f64>>,
    a: f64,
    d: usize,
}

impl FavorPlusPlus {
    /// The map with the given rows and `A` optimal for the mean `z = |x + y|^2` of the data.
    ///
    /// # Errors
    /// [`DualError::Parameter`] if `z` is not a positive number.
    pub fn new(omegas: Vec<Vec<f64>>, d: usize, z: f64) -> Result<Self, DualError> {
        Ok(Self { omegas, a: Self::optimal_a(z, d)?, d })
    }

    /// The `A` that minimises the variance at `z`: `(1 - 1/rho) / 8`,
    /// `rho = (sqrt((2z+d)^2 + 8dz) - 2z - d) / (4z)`.
    ///
    /// # Errors
    /// [`DualError::Parameter`] if `z` is not a positive number.
    pub fn optimal_a(z: f64, d: usize) -> Result<f64, DualError> {
        if !(z > 0.0 && z.is_finite()) {
            let (found, expected) = (z.to_string(), "a positive mean of |x + y|^2");
            return Err(DualError::Parameter { name: "favor++ z", found, expected });
        }
        let d = d as f64;
        let b = 2.0 * z + d;
        // (sqrt(b^2 + c) - b) / (4z) = c / (4z (sqrt(b^2 + c) + b)), without cancellation
        let c = 8.0 * d * z;
        let rho = c / (4.0 * z * ((b * b + c).sqrt() + b));
        Ok((1.0 - 1.0 / rho) / 8.0)
    }

    /// `A`.
    pub fn a(&self) -> f64 {
        self.a
    }

    fn scaled(&self, x: &[f64]) -> Scaled {
        let (a, d) = (self.a, self.d as f64);
        let b = (1.0 - 4.0 * a).sqrt();
        let constant = math::ln(1.0 - 4.0 * a) * d / 4.0 - order::dot(x, x) / 2.0;
        let scale = 1.0 / (self.omegas.len() as f64).sqrt();
        let exponent =
            |omega: &Vec<f64>| a * order::dot(omega, omega) + b * order::dot(omega, x) + constant;
        Scaled::common(scale, self.omegas.iter().map(exponent).collect())
    }
}

impl FeatureMap for FavorPlusPlus {
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
        let (a, d) = (self.a, self.d as f64);
        let (four, eight) = (1.0 - 4.0 * a, 1.0 - 8.0 * a);
        let norms = order::dot(x, x) + order::dot(y, y);
        let exponent = d * math::ln(four) - d / 2.0 * math::ln(eight)
            + 2.0 * four / eight * squared_sum(x, y)
            - norms;
        let square = math::exp(2.0 * order::dot(x, y));
        Some((math::exp(exponent) - square) / self.omegas.len() as f64)
    }

    fn rows(&self) -> usize {
        self.omegas.len()
    }

    /// `(1-4A)^{nd/2} (1-4nA)^{-d/2} exp((1-4A)/(2(1-4nA)) |n x + sum_j y_j|^2 - n|x|^2/2 - sum_j |y_j|^2/2 - x . y_j)`
    /// for `n` keys; infinite from `A = 1/(4n)` on.
    fn row_moment(&self, x: &[f64], keys: &[&[f64]]) -> Option<f64> {
        let (a, d, n) = (self.a, self.d as f64, keys.len() as f64);
        let (four, left) = (1.0 - 4.0 * a, 1.0 - 4.0 * n * a);
        if left <= 0.0 {
            return None;
        }
        let sum: Vec<f64> =
            (0..x.len()).map(|i| n * x[i] + keys.iter().map(|y| y[i]).sum::<f64>()).collect();
        let own = |y: &&[f64]| order::sum_of_squares(y) / 2.0 + order::dot(x, y);
        let exponent = d / 2.0 * (n * math::ln(four) - math::ln(left))
            + four / (2.0 * left) * order::sum_of_squares(&sum)
            - n * order::sum_of_squares(x) / 2.0
            - keys.iter().map(own).sum::<f64>();
        Some(math::exp(exponent))
    }
}
