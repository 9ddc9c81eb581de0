//! Exact features on a finite set of points.

use super::{Entry, Estimate, FeatureMap};
use crate::DualError;
use icl_numerics::{largest, math, order};

/// Largest `|k|^2` whose `K(k, k)` is safely a number.
const LARGEST_SQUARE: f64 = 600.0;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "exact",
    title: "Coefficients on the keys, no features",
    equation: "L^{-1} [K(k_i, x)]_i, K(k_i, k_j) = (L L^T)_ij",
    variance: "0",
    options: "",
    source: "the kernel trick",
    examples: &[""],
    estimate: Estimate::Exact,
    fitted: true,
    build: |_, setting| {
        let largest = largest::value(setting.keys.iter().map(|key| order::sum_of_squares(key)));
        if !setting.keys.is_empty() && (largest.is_nan() || largest > LARGEST_SQUARE) {
            let (found, expected) =
                (largest.to_string(), "at most 600, where exp(|k|^2) is a number; use SharedDual");
            return Err(DualError::Parameter { name: "|k|^2 of a key", found, expected });
        }
        Ok(Box::new(Exact::new(setting.keys.iter().copied())))
    },
};

/// Features of finite size that are exact among given anchors: `phi(x) = L^{-1} [K(a_i, x)]_i` with the
/// Cholesky factor `K(a_i, a_j) = (L L^T)_ij`.
///
/// `phi(x) . phi(y) = K(x, y)` whenever `x` or `y` is an anchor; otherwise the features are those of the
/// projection of `phi(x)` on the anchors' span. An anchor that depends on earlier ones up to rounding
/// (a repeated token) adds no feature. Variance zero; rounding grows with the condition of the Gram
/// matrix.
#[derive(Debug, Clone)]
pub struct Exact {
    anchors: Vec<Vec<f64>>,
    /// Rows of `L`, lower triangular.
    factor: Vec<Vec<f64>>,
}

fn kernel(x: &[f64], y: &[f64]) -> f64 {
    math::exp(order::dot(x, y))
}

impl Exact {
    /// The map that is exact on `anchors`.
    pub fn new<'a>(anchors: impl IntoIterator<Item = &'a [f64]>) -> Self {
        let mut map = Self { anchors: Vec::new(), factor: Vec::new() };
        for anchor in anchors {
            let row = map.key_features(anchor);
            let own = kernel(anchor, anchor);
            let rest = own - order::dot(&row, &row);
            if rest > 64.0 * f64::EPSILON * own {
                map.anchors.push(anchor.to_vec());
                map.factor.push([row, vec![rest.sqrt()]].concat());
            }
        }
        map
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is no anchor.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

impl FeatureMap for Exact {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        let mut features: Vec<f64> = Vec::with_capacity(self.anchors.len());
        for (anchor, row) in self.anchors.iter().zip(&self.factor) {
            let (before, diagonal) = row.split_at(row.len() - 1);
            let known = order::dot(before, &features);
            features.push((kernel(anchor, x) - known) / diagonal[0]);
        }
        features
    }

    fn variance(&self, _x: &[f64], _y: &[f64]) -> Option<f64> {
        Some(0.0)
    }

    fn relative_covariance(&self, _x: &[f64], _keys: [&[f64]; 2]) -> Option<f64> {
        Some(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn features_of_anchors_multiply_to_the_kernel_and_repeats_add_none() {
        let points = [[0.3, -0.5], [1.0, 0.2], [-0.7, 0.9], [1.0, 0.2]];
        let map = Exact::new(points.iter().map(<[f64; 2]>::as_slice));
        assert_eq!(map.len(), 3);
        let outside = [0.1, 0.8];
        for p in &points {
            for q in points.iter().chain([&outside]) {
                let got = order::dot(&map.key_features(p), &map.key_features(q));
                Tolerance::roundoff_f64(400).assert_close(got, kernel(p, q), 3.0, "kernel");
            }
        }
    }
}
