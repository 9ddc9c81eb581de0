//! The dual with finite features: `W` is a real `d_v x d_r` matrix, trained by gradient descent.
//!
//! ```text
//! L(W) = -(1/(eta D)) sum_i v_i^T W phi(k_i),   dL/dW = -(1/(eta D)) sum_i v_i phi(k_i)^T
//! W_1  = W_0 - eta dL/dW = W_0 + (1/D) sum_i v_i phi(k_i)^T,    D = sum_j phi(k_j) . phi(q)
//! ```
//!
//! Its prediction equals random-feature attention exactly and softmax attention as well as
//! `phi(k) . phi(q)` estimates `exp(k . q)`. Theory: `docs/theory.md`, section 3.

use crate::dual::KeyValue;
use crate::feature_map::FeatureMap;
use crate::{DualError, Matrix};
use icl_numerics::order;

/// The dual model on features of one query.
#[derive(Debug, Clone)]
pub struct FeatureDual<'m, M: FeatureMap + ?Sized> {
    map: &'m M,
    normaliser: f64,
    weights: Matrix,
}

impl<'m, M: FeatureMap + ?Sized> FeatureDual<'m, M> {
    /// `W_0` from the query side, `D` from all visible keys.
    ///
    /// # Errors
    /// [`DualError`] if sizes differ or no key is visible.
    pub fn initial(
        map: &'m M,
        demonstrations: &[KeyValue<'_>],
        query_side: &[KeyValue<'_>],
        query: &[f64],
    ) -> Result<Self, DualError> {
        let all = || demonstrations.iter().chain(query_side);
        let first = all().next().ok_or(DualError::NothingVisible { query: 0 })?;
        let phi_q = map.query_features(query);
        let kernels: Vec<f64> =
            all().map(|pair| order::dot(&map.key_features(pair.key), &phi_q)).collect();
        let weights = Matrix::zeros(first.value.len(), phi_q.len());
        let mut dual = Self { map, normaliser: order::sum(&kernels), weights };
        for pair in query_side {
            dual.step(*pair)?;
        }
        Ok(dual)
    }

    /// `dL/dW` for rate `eta`, which does not depend on `W`.
    ///
    /// # Errors
    /// [`DualError::Size`] if a value's size is not the dual's.
    pub fn gradient(&self, demonstrations: &[KeyValue<'_>], eta: f64) -> Result<Matrix, DualError> {
        let mut gradient = Matrix::zeros(self.weights.rows(), self.weights.columns());
        for pair in demonstrations {
            let factor = -1.0 / (eta * self.normaliser);
            add_outer(&mut gradient, factor, pair.value, &self.map.key_features(pair.key))?;
        }
        Ok(gradient)
    }

    /// One gradient step of rate `eta` on one demonstration (`eta` cancels).
    ///
    /// # Errors
    /// [`DualError::Size`] if the value's size is not the dual's.
    pub fn step(&mut self, demonstration: KeyValue<'_>) -> Result<(), DualError> {
        let phi = self.map.key_features(demonstration.key);
        add_outer(&mut self.weights, 1.0 / self.normaliser, demonstration.value, &phi)
    }

    /// Multiplies `W` by `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.weights.entries_mut().iter_mut().for_each(|w| *w *= factor);
    }

    /// `L(W)` at given weights.
    ///
    /// # Errors
    /// [`DualError::Size`] if sizes differ.
    pub fn loss(
        &self,
        weights: &Matrix,
        demonstrations: &[KeyValue<'_>],
        eta: f64,
    ) -> Result<f64, DualError> {
        let mut sum = 0.0;
        for pair in demonstrations {
            let prediction = weights.apply(&self.map.key_features(pair.key))?;
            sum += order::dot(pair.value, &prediction);
        }
        Ok(-sum / (eta * self.normaliser))
    }

    /// `f(x) = W phi(x)`, `[d_v]`.
    ///
    /// # Errors
    /// [`DualError::Size`] if the map's feature count changed.
    pub fn predict(&self, x: &[f64]) -> Result<Vec<f64>, DualError> {
        let phi = self.map.query_features(x);
        DualError::size("features", phi.len(), self.weights.columns())?;
        Ok(self.weights.iter_rows().map(|row| order::dot(row, &phi)).collect())
    }

    /// `W`, `[d_v, d_r]`.
    pub fn weights(&self) -> &Matrix {
        &self.weights
    }
}

/// `A += factor v phi^T`.
fn add_outer(a: &mut Matrix, factor: f64, v: &[f64], phi: &[f64]) -> Result<(), DualError> {
    DualError::size("value", v.len(), a.rows())?;
    DualError::size("features", phi.len(), a.columns())?;
    for (i, v) in v.iter().enumerate() {
        let scaled = factor * v;
        for (entry, phi) in a.row_mut(i).iter_mut().zip(phi) {
            *entry += scaled * phi;
        }
    }
    Ok(())
}
