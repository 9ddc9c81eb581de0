//! The dual's model under a contrastive loss: each key's prediction is told from the other demonstrations' values.
//!
//! ```text
//! L(W) = -(tau/(eta D)) sum_i ln p_ii,     p_ij = exp(v_j^T W phi(k_i)/tau) / sum_l exp(v_l^T W phi(k_i)/tau)
//! dL/dW = -(1/(eta D)) sum_i (v_i - sum_j p_ij v_j) phi(k_i)^T
//! ```
//!
//! One gradient step from `W_0` is thus a step of the dual on other values, `v_i - sum_j p_ij v_j`: the demonstration's own,
//! less the mean of all by a softmax over demonstrations. Theory: `docs/theory.md`, section 3.

use crate::dual::KeyValue;
use crate::feature_map::FeatureMap;
use crate::{DualError, Matrix};
use icl_numerics::{largest, math, order};

/// Similarities `v_j^T W phi(k_i)`, `[i][j]`.
///
/// # Errors
/// [`DualError::Size`] if sizes differ.
pub fn similarities<M: FeatureMap + ?Sized>(
    map: &M,
    weights: &Matrix,
    demonstrations: &[KeyValue<'_>],
) -> Result<Matrix, DualError> {
    let mut entries = Vec::with_capacity(demonstrations.len() * demonstrations.len());
    for anchor in demonstrations {
        let prediction = weights.apply(&map.key_features(anchor.key))?;
        for other in demonstrations {
            DualError::size("value", other.value.len(), prediction.len())?;
            entries.push(order::dot(other.value, &prediction));
        }
    }
    Matrix::new(demonstrations.len(), demonstrations.len(), entries)
}

/// Largest similarity of a row over `tau`, and `ln sum_j exp(s_ij / tau)` less that.
fn log_sum(row: &[f64], tau: f64) -> [f64; 2] {
    let top = largest::value(row.iter().copied()) / tau;
    let terms: Vec<f64> = row.iter().map(|s| math::exp(s / tau - top)).collect();
    [top, math::ln(order::sum(&terms))]
}

/// `p_ij`, the share of value `j` in what key `i`'s prediction is like; rows sum to one.
pub fn shares(similarities: &Matrix, tau: f64) -> Matrix {
    let sums: Vec<[f64; 2]> = similarities.iter_rows().map(|row| log_sum(row, tau)).collect();
    Matrix::from_fn(similarities.rows(), similarities.columns(), |i, j| {
        let [top, rest] = sums[i];
        math::exp(similarities.row(i)[j] / tau - top - rest)
    })
}

/// `L` with `eta = 1` and the normaliser `D`.
pub fn loss(similarities: &Matrix, tau: f64, normaliser: f64) -> f64 {
    let term = |(i, row): (usize, &[f64])| {
        let [top, rest] = log_sum(row, tau);
        tau * (row[i] / tau - top - rest)
    };
    let terms: Vec<f64> = similarities.iter_rows().enumerate().map(term).collect();
    -order::sum(&terms) / normaliser
}

/// The values on which the dual's step is the contrastive gradient step: `v_i - sum_j p_ij v_j`, `[N, d_v]`.
///
/// # Errors
/// [`DualError::Size`] if there are not as many shares as pairs of demonstrations.
pub fn pulls(demonstrations: &[KeyValue<'_>], shares: &Matrix) -> Result<Matrix, DualError> {
    DualError::size("shares", shares.entries().len(), demonstrations.len() * demonstrations.len())?;
    let size = demonstrations.first().map_or(0, |pair| pair.value.len());
    Ok(Matrix::from_fn(demonstrations.len(), size, |i, c| {
        let terms: Vec<f64> =
            shares.row(i).iter().zip(demonstrations).map(|(p, other)| p * other.value[c]).collect();
        demonstrations[i].value[c] - order::sum(&terms)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_dual::FeatureDual;
    use crate::feature_map::{Exact, gaussian_rows};
    use icl_numerics::finite_difference;
    use icl_numerics::stream::Stream;

    #[test]
    fn the_step_on_pulls_is_the_gradient_step_by_finite_differences() {
        let rows = |purpose: &str, n| gaussian_rows(&Stream::new(2, purpose), n, 3);
        let (keys, values, tau) = (rows("k", 5), rows("v", 5), 0.3);
        let pairs: Vec<KeyValue<'_>> =
            keys.iter().zip(&values).map(|(key, value)| KeyValue { key, value }).collect();
        let (demos, side) = pairs.split_at(4);
        let map = Exact::new(keys.iter().map(Vec::as_slice));
        let query = [0.4, -0.2, 0.7];
        let dual = FeatureDual::initial(&map, demos, side, &query).unwrap();
        let start = dual.weights().clone();
        let at = |entries: &[f64]| {
            let w = Matrix::new(start.rows(), start.columns(), entries.to_vec()).unwrap();
            loss(&similarities(&map, &w, demos).unwrap(), tau, 1.0)
        };
        let by_differences = finite_difference::gradient(at, start.entries());
        let p = shares(&similarities(&map, &start, demos).unwrap(), tau);
        for row in p.iter_rows() {
            assert!((order::sum(row) - 1.0).abs() < 1e-14);
        }
        let pulls = pulls(demos, &p).unwrap();
        let closed = Matrix::from_fn(start.rows(), start.columns(), |c, r| {
            let term =
                |(i, pair): (usize, &KeyValue<'_>)| pulls.row(i)[c] * map.key_features(pair.key)[r];
            -demos.iter().enumerate().map(term).sum::<f64>()
        });
        let far = largest::difference(&by_differences, closed.entries());
        assert!(far < 1e-8 * largest::magnitude(by_differences.iter().copied()), "{far:e}");
    }

    /// At a high temperature all shares are equal: values less their mean.
    #[test]
    fn without_preference_values_lose_their_mean() {
        let (a, b) = ([1.0, 2.0], [3.0, -2.0]);
        let pairs = [KeyValue { key: &[0.0], value: &a }, KeyValue { key: &[1.0], value: &b }];
        let flat = shares(&Matrix::new(2, 2, vec![0.3, 0.1, -0.2, 0.5]).unwrap(), 1e12);
        let pulls = pulls(&pairs, &flat).unwrap();
        assert!(largest::difference(pulls.entries(), &[-1.0, 2.0, 1.0, -2.0]) < 1e-11);
    }
}
