//! Positive features with orthogonal rows.

use super::{Entry, Estimate, FeatureMap, Positive, Scaled, gaussian_rows, squared_sum};
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "orthogonal",
    title: "Positive features with orthogonal rows",
    equation: "exp(omega . x - |x|^2/2) / sqrt(d_r), rows in Haar blocks of d, lengths chi(d)",
    variance: "positive's + b e^{-|x|^2-|y|^2} (M(d, d/2, z/2) - e^z) / d_r^2, b pairs in one block",
    options: "",
    source: "K. Choromanski et al. (2021); the closed form is ours",
    examples: &[""],
    estimate: Estimate::Unbiased,
    fitted: false,
    build: |_, setting| Ok(Box::new(Orthogonal::new(setting.stream, setting.d_r, setting.d))),
};

/// Positive features whose rows are, in blocks of `d`, a Haar-distributed orthogonal basis with
/// independent `chi(d)` lengths; every row alone is `N(0, I)`.
///
/// Variance: that of independent rows plus, for every ordered pair of rows in one block, the covariance
/// `e^{-|x|^2-|y|^2} (M(d, d/2, z/2) - e^z) / m^2 <= 0` with Kummer's function `M`: the sum of two such
/// rows has a uniform direction and a squared length of `chi^2(2d)`, and the mean of `exp(w . u)` over
/// directions is a series in `|w|^{2k}`, whose moments are those of `chi^2(2d)`.
/// Source of the map: K. Choromanski et al. (2021); the closed form is derived here.
#[derive(Debug, Clone)]
pub struct Orthogonal {
    map: Positive,
    m: usize,
    d: usize,
}

impl Orthogonal {
    /// `m` rows for inputs of size `d`.
    pub fn new(stream: &Stream, m: usize, d: usize) -> Self {
        Self { map: Positive::new(orthogonal_rows(stream, m, d)), m, d }
    }
}

/// `m` rows in orthogonal blocks of `d`.
///
/// Gram-Schmidt on Gaussian rows, twice for rounding, gives the factor Q of a QR decomposition with
/// positive diagonal, which is Haar distributed. Lengths are those of further Gaussian rows.
pub fn orthogonal_rows(stream: &Stream, m: usize, d: usize) -> Vec<Vec<f64>> {
    let gaussian = gaussian_rows(stream, 2 * m.next_multiple_of(d), d);
    let (directions, lengths) = gaussian.split_at(gaussian.len() / 2);
    let mut rows = Vec::with_capacity(directions.len());
    for block in directions.chunks_exact(d) {
        let mut basis: Vec<Vec<f64>> = Vec::with_capacity(d);
        for row in block {
            let mut row = row.clone();
            for _ in 0..2 {
                for other in &basis {
                    let along = order::dot(&row, other);
                    row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
                }
            }
            let norm = order::sum_of_squares(&row).sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
            basis.push(row);
        }
        rows.extend(basis);
    }
    let scaled = |(row, other): (Vec<f64>, &Vec<f64>)| {
        let length = order::sum_of_squares(other).sqrt();
        row.into_iter().map(|x| length * x).collect()
    };
    rows.into_iter().zip(lengths).take(m).map(scaled).collect()
}

/// Kummer's `M(a, b, x) = sum_k (a)_k x^k / ((b)_k k!)` for positive arguments, summed until a term no
/// longer counts.
fn kummer(a: f64, b: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > sum * f64::EPSILON / 4.0 && k < 1e5 {
        term *= (a + k) * x / ((b + k) * (k + 1.0));
        sum += term;
        k += 1.0;
    }
    sum
}

impl FeatureMap for Orthogonal {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        self.map.key_features(x)
    }

    fn scaled_key_features(&self, x: &[f64]) -> Scaled {
        self.map.scaled_key_features(x)
    }

    fn scaled_query_features(&self, x: &[f64]) -> Scaled {
        self.map.scaled_query_features(x)
    }

    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64> {
        let (m, d) = (self.m, self.d);
        let z = squared_sum(x, y);
        let blocks = m / d;
        let rest = m % d;
        let pairs = (blocks * d * (d - 1) + rest * rest.saturating_sub(1)) as f64;
        let norms = order::dot(x, x) + order::dot(y, y);
        let both = kummer(d as f64, d as f64 / 2.0, z / 2.0);
        let covariance = math::exp(-norms) * (both - math::exp(z));
        Some(self.map.variance(x, y)? + pairs * covariance / (m * m) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn blocks_are_orthogonal_and_lengths_have_the_chi_squared_mean() {
        let (m, d) = (2100, 7);
        let rows = orthogonal_rows(&Stream::new(1, "orthogonal"), m, d);
        for block in rows.chunks_exact(d) {
            for (i, j) in (0..d).flat_map(|i| (0..i).map(move |j| (i, j))) {
                let scale = order::dot(&block[i], &block[i]).sqrt()
                    * order::dot(&block[j], &block[j]).sqrt();
                assert!(order::dot(&block[i], &block[j]).abs() < 1e-14 * scale);
            }
        }
        let squares: Vec<f64> = rows.iter().map(|row| order::dot(row, row)).collect();
        // chi^2(7) has mean 7 and variance 14
        Tolerance::monte_carlo(14.0_f64.sqrt(), m, 5.0).assert_close(
            order::mean(&squares).unwrap(),
            7.0,
            1.0,
            "mean squared length",
        );
    }

    #[test]
    fn kummer_has_its_elementary_values() {
        let t = Tolerance::roundoff_f64(60);
        t.assert_close(kummer(3.0, 3.0, 2.0), math::exp(2.0), 8.0, "M(a, a, x) = e^x");
        t.assert_close(kummer(1.0, 2.0, 2.0), math::expm1(2.0) / 2.0, 4.0, "M(1, 2, x)");
    }
}
