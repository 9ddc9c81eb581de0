//! The generalisation gap of the dual's linear loss over `F = {x -> W phi(x), |W|_F <= w}`.
//!
//! Assumptions: `N` pairs `(k, v)` drawn independently, with replacement, from a finite population, so that
//! every expectation below is a finite sum; loss `l(W; k, v) = -v^T W phi(k)`. Then
//!
//! ```text
//! sup_{|W|_F <= w} |mean over the sample - mean over the population| = w |C_N - C|_HS      (exact)
//! root of its mean square   = w sqrt((E |v|^2 K(k,k) - |C|^2) / N)                          (exact)
//! its mean                 <= 2 w sqrt(E |v|^2 K(k,k) / N)                                  (Rademacher type)
//! exceeds its mean by more than w r sqrt(2 ln(1/delta) / N) with probability at most delta  (McDiarmid)
//! ```
//!
//! and for one `W`, such as the weights that the dual has after its step on that very sample ([`Population::solution`]),
//!
//! ```text
//! l(W) over the population - over the sample = <W, C_N - C>
//! ```
//!
//! with the cross-covariance `C = E v phi(k)^T`, its sample version `C_N`, and `r = max |v| sqrt(K(k,k))`:
//! replacing one pair moves the supremum by at most `2 w r / N`. Norms of operators are computed by the
//! kernel trick. Theory: `docs/theory.md`, section 9.

use crate::{DualError, Matrix};
use icl_numerics::largest;
use icl_numerics::{math, order};

/// A finite population of keys and values with its Gram matrix `v_i . v_j K(k_i, k_j)`.
#[derive(Debug, Clone)]
pub struct Population {
    gram: Matrix,
    /// `E |v|^2 K(k, k)`.
    mean_diagonal: f64,
    /// `|C|^2`.
    norm_squared: f64,
    /// Mean of each row of the Gram matrix: `<v_i phi(k_i)^T, C>`.
    row_means: Vec<f64>,
    /// `r`.
    radius: f64,
}

/// Weights that a dual has after its step, by what the bound and the gap read of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solution {
    /// `|W_1|_F`.
    pub norm: f64,
    /// Loss of `W_1` over the population minus its loss over the sample.
    pub gap: f64,
}

impl Population {
    /// A population with the kernel `K`.
    ///
    /// # Errors
    /// [`DualError::Size`] if keys and values differ in number.
    pub fn new(
        keys: &Matrix,
        values: &Matrix,
        kernel: impl Fn(&[f64], &[f64]) -> f64,
    ) -> Result<Self, DualError> {
        DualError::size("values", values.rows(), keys.rows())?;
        let n = keys.rows();
        let gram = Matrix::from_fn(n, n, |i, j| {
            order::dot(values.row(i), values.row(j)) * kernel(keys.row(i), keys.row(j))
        });
        let diagonal: Vec<f64> = (0..n).map(|i| gram.row(i)[i]).collect();
        let row_means: Vec<f64> = gram.iter_rows().map(|row| order::sum(row) / n as f64).collect();
        Ok(Self {
            mean_diagonal: order::sum(&diagonal) / n as f64,
            norm_squared: order::sum(&row_means) / n as f64,
            row_means,
            radius: largest::value(diagonal.iter().copied()).sqrt(),
            gram,
        })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.gram.rows()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.gram.rows() == 0
    }

    /// The exact supremum `w |C_N - C|_HS` for a sample given by indices into the population.
    pub fn supremum(&self, sample: &[usize], w: f64) -> f64 {
        let n = sample.len() as f64;
        let cross: Vec<f64> = sample.iter().map(|i| self.row_means[*i]).collect();
        let mut entries = Vec::with_capacity(sample.len());
        let row_sum = |i: &usize| {
            entries.clear();
            entries.extend(sample.iter().map(|j| self.gram.row(*i)[*j]));
            order::sum(&entries)
        };
        let own: Vec<f64> = sample.iter().map(row_sum).collect();
        // |C_N|^2 - 2 <C_N, C> + |C|^2: a square, negative only by rounding
        let square = order::sum(&own) / (n * n) - 2.0 * order::sum(&cross) / n + self.norm_squared;
        w * largest::at_least(square, 0.0).sqrt()
    }

    /// The dual's weights after its step on a sample without a query side, `W_1 = (1/D) sum_i v_i phi(k_i)^T`: the
    /// sample's cross-covariance, times `N/D`.
    pub fn solution(&self, sample: &[usize], normaliser: f64) -> Solution {
        let n = sample.len() as f64;
        let mut pairs = Vec::with_capacity(sample.len() * sample.len());
        for i in sample {
            let row = self.gram.row(*i);
            pairs.extend(sample.iter().map(|j| row[*j]));
        }
        let means: Vec<f64> = sample.iter().map(|i| self.row_means[*i]).collect();
        let square = order::sum(&pairs);
        // <W, C_N> - <W, C>
        let gap = (square / n - order::sum(&means)) / normaliser;
        Solution { norm: largest::at_least(square, 0.0).sqrt() / normaliser, gap }
    }

    /// Root mean square of the supremum over samples of size `n`.
    pub fn root_mean_square(&self, n: usize, w: f64) -> f64 {
        w * ((self.mean_diagonal - self.norm_squared) / n as f64).sqrt()
    }

    /// The Rademacher-type bound on the mean of the supremum.
    pub fn rademacher_bound(&self, n: usize, w: f64) -> f64 {
        2.0 * w * (self.mean_diagonal / n as f64).sqrt()
    }

    /// What must be added to the bound so that it holds with probability `1 - delta`.
    pub fn deviation(&self, n: usize, w: f64, delta: f64) -> f64 {
        w * self.radius * (2.0 * -math::ln(delta) / n as f64).sqrt()
    }

    /// Bound over root mean square: `2 / sqrt(1 - |C|^2 / E |v|^2 K(k,k))`, for every `n`.
    pub fn looseness(&self) -> f64 {
        2.0 / (1.0 - self.norm_squared / self.mean_diagonal).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    fn population() -> Population {
        let keys = Matrix::new(3, 1, vec![0.0, 1.0, -0.5]).unwrap();
        let values = Matrix::new(3, 1, vec![1.0, -2.0, 0.5]).unwrap();
        Population::new(&keys, &values, order::dot).unwrap()
    }

    /// Linear kernel in one dimension: C is the number E v k, the supremum w |mean(v k) - E v k|.
    #[test]
    fn supremum_is_the_difference_of_means_for_the_linear_kernel() {
        let products = [0.0, -2.0, -0.25];
        let expectation: f64 = products.iter().sum::<f64>() / 3.0;
        let got = population().supremum(&[0, 0, 1, 2], 1.5);
        let want =
            1.5 * ((products[0] * 2.0 + products[1] + products[2]) / 4.0 - expectation).abs();
        Tolerance::roundoff_f64(20).assert_close(got, want, 1.0, "supremum");
    }

    /// All nine samples of size two: the mean square is the closed form.
    #[test]
    fn root_mean_square_equals_the_enumeration() {
        let population = population();
        let squares: f64 = (0..3)
            .flat_map(|i| (0..3).map(move |j| [i, j]))
            .map(|sample| population.supremum(&sample, 1.0))
            .map(|gap| gap * gap)
            .sum();
        let want = population.root_mean_square(2, 1.0);
        Tolerance::roundoff_f64(40).assert_close((squares / 9.0).sqrt(), want, 1.0, "rms");
    }

    /// Linear kernel in one dimension: `W` is a number, the sum of `v k` over the sample, over `D`.
    #[test]
    fn a_solution_has_the_norm_and_the_gap_of_its_number() {
        let (keys, values) = ([0.0, 1.0, -0.5], [1.0, -2.0, 0.5]);
        let (sample, normaliser) = ([0, 2, 2, 1], 4.0);
        let got = population().solution(&sample, normaliser);
        let sum: f64 = sample.iter().map(|i| values[*i] * keys[*i]).sum();
        let w = sum / normaliser;
        let expectation: f64 = keys.iter().zip(values).map(|(k, v)| k * v).sum::<f64>() / 3.0;
        let tolerance = Tolerance::roundoff_f64(40);
        tolerance.assert_close(got.norm, w.abs(), 1.0, "norm");
        tolerance.assert_close(got.gap, w * (sum / 4.0 - expectation), 1.0, "gap");
        // no weights of that norm have a larger gap
        assert!(got.gap.abs() <= population().supremum(&sample, got.norm) * (1.0 + 1e-12));
    }

    /// All nine samples of size two, `D = N`: the mean gap is `(E |v|^2 K(k,k) - |C|^2) / N`.
    #[test]
    fn the_mean_gap_of_solutions_equals_the_enumeration() {
        let population = population();
        let gaps: f64 = (0..3)
            .flat_map(|i| (0..3).map(move |j| [i, j]))
            .map(|sample| population.solution(&sample, 2.0).gap)
            .sum();
        let root = population.root_mean_square(2, 1.0);
        Tolerance::roundoff_f64(40).assert_close(gaps / 9.0, root * root, 1.0, "mean gap");
    }

    #[test]
    fn the_whole_population_has_no_gap_and_the_bound_is_looser_by_its_constant() {
        let population = population();
        assert!(population.supremum(&[0, 1, 2], 1.0) < 1e-8);
        let ratio = population.rademacher_bound(7, 2.0) / population.root_mean_square(7, 2.0);
        Tolerance::roundoff_f64(20).assert_close(ratio, population.looseness(), 1.0, "looseness");
    }
}
