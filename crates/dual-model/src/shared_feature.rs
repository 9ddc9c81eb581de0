//! The feature dual over a stream, in a state whose size does not grow. Theory: `docs/theory.md`, section 3.

use crate::dual::KeyValue;
use crate::feature_map::{FeatureMap, Scaled};
use crate::{DualError, Matrix};
use icl_numerics::{largest, math};

/// Exponents up to this size are taken as they are: products of three such exponentials are still numbers.
const MODERATE: f64 = 200.0;

/// The state `W = sum_j [v_j; 1] phi(k_j)^T`, `[d_v + 1, d_r]`, of the feature dual over a stream.
///
/// Feature `r` of key `j` is `f_rj e^{b_rj}`, of a query `g_r e^{a_r}` ([`Scaled`]). Real heads have
/// exponents of thousands, so column `r` is held relative to a shift `s_r`, which follows the largest `b_rj`
/// so far (the column is rescaled when it grows, as in online softmax), and a query's features relative to
/// a shift `m`, which follows its largest `a_r + s_r`:
///
/// ```text
/// W_r = sum_j [v_j; 1] f_rj e^{b_rj - s_r},      W phi(q) = e^m sum_r g_r e^{a_r + s_r - m} W_r
/// ```
///
/// Each `s_r` cancels inside its term and `m` in the ratio of the value part and the constant channel, so
/// the prediction is that of the unshifted features: no bias, whatever the sizes. Factors that all features
/// of a query share, such as `e^{-|q|^2/2}`, cancel with `m`. Shifts are zero while exponents are moderate, so
/// that `W` is then the plain sum, bit by bit.
#[derive(Debug, Clone)]
pub struct SharedFeatureDual<'m, M: FeatureMap + ?Sized> {
    map: &'m M,
    weights: Matrix,
    /// Largest exponent of each feature so far.
    tops: Vec<f64>,
    steps: usize,
}

/// The shift that goes with a largest exponent: zero while it is moderate.
fn shift(top: f64) -> f64 {
    if top.abs() <= MODERATE { 0.0 } else { top }
}

impl<'m, M: FeatureMap + ?Sized> SharedFeatureDual<'m, M> {
    /// Before any step, for keys of size `d_k` and values of size `d_v`.
    pub fn new(map: &'m M, d_k: usize, d_v: usize) -> Self {
        let d_r = map.key_features(&vec![0.0; d_k]).len();
        let tops = vec![f64::NEG_INFINITY; d_r];
        Self { map, weights: Matrix::zeros(d_v + 1, d_r), tops, steps: 0 }
    }

    /// One gradient step.
    ///
    /// # Errors
    /// [`DualError::Size`] if key or value has another size.
    pub fn step(&mut self, pair: KeyValue<'_>) -> Result<(), DualError> {
        DualError::size("value", pair.value.len() + 1, self.weights.rows())?;
        let mut phi = self.map.scaled_key_features(pair.key);
        DualError::size("features", phi.factors.len(), self.weights.columns())?;
        self.raise(&phi);
        for (exponent, top) in phi.exponents.iter_mut().zip(&self.tops) {
            // an exponent that overflows to minus infinity would drop the key without a word
            *exponent = if exponent.is_finite() { *exponent - shift(*top) } else { f64::NAN };
        }
        let phi = phi.features();
        for (i, v) in pair.value.iter().chain([&1.0]).enumerate() {
            let row = self.weights.row_mut(i);
            row.iter_mut().zip(&phi).for_each(|(w, phi)| *w += v * phi);
        }
        self.steps += 1;
        Ok(())
    }

    /// Takes a key's exponents into the largest ones and rescales the columns whose shift moves.
    fn raise(&mut self, phi: &Scaled) {
        let mut rescaled = Vec::new();
        for (r, (top, exponent)) in self.tops.iter_mut().zip(&phi.exponents).enumerate() {
            let before = shift(*top);
            *top = if *exponent > *top { *exponent } else { *top };
            let moved = before - shift(*top);
            if self.steps > 0 && moved != 0.0 {
                rescaled.push((r, math::exp(moved)));
            }
        }
        for i in 0..self.weights.rows() {
            let row = self.weights.row_mut(i);
            rescaled.iter().for_each(|(r, factor)| row[*r] *= factor);
        }
    }

    /// `h'(q)` from the steps taken so far, in features.
    ///
    /// # Errors
    /// [`DualError`] if the query has another size or no step has been taken.
    pub fn predict(&self, query: &[f64]) -> Result<Vec<f64>, DualError> {
        if self.steps == 0 {
            return Err(DualError::NothingVisible { query: 0 });
        }
        let mut phi = self.map.scaled_query_features(query);
        for (exponent, top) in phi.exponents.iter_mut().zip(&self.tops) {
            *exponent += shift(*top);
        }
        let shift = shift(largest::value(phi.exponents.iter().copied()));
        phi.exponents.iter_mut().for_each(|exponent| *exponent -= shift);
        let mut both = self.weights.apply(&phi.features())?;
        let normaliser = both.pop().unwrap_or(1.0);
        both.iter_mut().for_each(|x| *x /= normaliser);
        Ok(both)
    }

    /// `W`, `[d_v + 1, d_r]`, each column relative to its shift: `W` itself while exponents are moderate.
    pub fn weights(&self) -> &Matrix {
        &self.weights
    }

    /// Bytes of the state, whatever the number of steps.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(self.weights.entries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::Positive;

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        let map = Positive::new(vec![vec![0.5], vec![-1.0]]);
        let mut state = SharedFeatureDual::new(&map, 1, 1);
        state.step(KeyValue { key: &[1.0], value: &[1.0] }).unwrap();
        state.step(KeyValue { key: &[1e200], value: &[1.0] }).unwrap();
        assert!(state.predict(&[1.0]).unwrap()[0].is_nan());
    }
}
