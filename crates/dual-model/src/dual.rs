//! The exact dual: `phi` infinite-dimensional, `W` stored as coefficients on `phi(k_i)`.
//!
//! ```text
//! W    = sum_i c_i phi(k_i)^T                 representer form, c_i in R^{d_v}
//! f(x) = W phi(x) = sum_i c_i K(k_i, x)       K(k, x) = exp(k . x)
//! W_0: c_t = v_t / D on the query side,       gradient step on demonstration i: c_i <- c_i + v_i / D
//! ```
//!
//! `L` is linear in `W`: its gradient is constant, the steps commute, and a second epoch adds exactly
//! the same increments again.
//!
//! Theory: `docs/theory.md`, section 3. Numerics: with `m` the largest logit, `K` and `D` both carry the factor `e^{-m}`, which cancels in
//! `f(q)`; so logits of any size are safe, and the result is `h'` to rounding.

use crate::{DualError, Real};

/// A demonstration or query-side token as the dual sees it.
#[derive(Debug, Clone, Copy)]
pub struct KeyValue<'a, R = f64> {
    /// Key, `[d_k]`.
    pub key: &'a [R],
    /// Value, `[d_v]`.
    pub value: &'a [R],
}

/// `D(q)` with its shift: `D = e^shift * sum`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normaliser<R = f64> {
    /// Largest logit `k . q`.
    pub shift: R,
    /// `sum_j exp(k_j . q - shift)`.
    pub sum: R,
}

impl<R: Real> Normaliser<R> {
    /// `D(q)` over the given keys, each `[d_k]` as the query; `None` if there is no key.
    pub fn new<'a>(keys: impl Iterator<Item = &'a [R]>, query: &[R]) -> Option<Self> {
        let mut logits = keys.map(|key| R::dot(key, query)).collect::<Vec<_>>().into_iter();
        let first = logits.next()?;
        let rest: Vec<R> = logits.collect();
        let shift = rest.iter().fold(first, |m, x| if *x > m { *x } else { m });
        let mut sum = (first - shift).exp();
        for logit in rest {
            sum += (logit - shift).exp();
        }
        Some(Self { shift, sum })
    }
}

/// The exact dual model of one query.
#[derive(Debug, Clone)]
pub struct ExactDual<'a, R = f64> {
    normaliser: Normaliser<R>,
    d_v: usize,
    /// Support points and their coefficients.
    terms: Vec<(&'a [R], Vec<R>)>,
}

impl<'a, R: Real> ExactDual<'a, R> {
    /// `W_0`: the query side with step size `1 / D`.
    ///
    /// # Errors
    /// [`DualError::Size`] if the values differ in size.
    pub fn initial(
        query_side: &[KeyValue<'a, R>],
        normaliser: Normaliser<R>,
        d_v: usize,
    ) -> Result<Self, DualError> {
        let mut dual = Self { normaliser, d_v, terms: Vec::with_capacity(query_side.len()) };
        for pair in query_side {
            dual.step(*pair)?;
        }
        Ok(dual)
    }

    /// One gradient step on one demonstration: `W <- W + (1/D) v_i phi(k_i)^T`.
    ///
    /// # Errors
    /// [`DualError::Size`] if the value's size is not the dual's.
    pub fn step(&mut self, demonstration: KeyValue<'a, R>) -> Result<(), DualError> {
        DualError::size("value", demonstration.value.len(), self.d_v)?;
        let coefficient = demonstration.value.iter().map(|v| *v / self.normaliser.sum).collect();
        self.terms.push((demonstration.key, coefficient));
        Ok(())
    }

    /// Multiplies `W` by `factor` (the shrinkage of a regularised loss).
    pub fn scale(&mut self, factor: R) {
        for (_, coefficient) in &mut self.terms {
            coefficient.iter_mut().for_each(|c| *c = *c * factor);
        }
    }

    /// `f(x) = W phi(x)`, `[d_v]`.
    ///
    /// # Errors
    /// [`DualError::Size`] if `x` is not as long as the keys.
    pub fn predict(&self, x: &[R]) -> Result<Vec<R>, DualError> {
        let mut out = vec![R::ZERO; self.d_v];
        for (key, coefficient) in &self.terms {
            DualError::size("query", x.len(), key.len())?;
            let kernel = (R::dot(key, x) - self.normaliser.shift).exp();
            for (out, c) in out.iter_mut().zip(coefficient) {
                *out += *c * kernel;
            }
        }
        Ok(out)
    }

    /// `L(W) = -(1/(eta D)) sum_i v_i^T W phi(k_i)`, by the kernel trick.
    ///
    /// Linear in `W` and so unbounded below: more epochs only add the same increment.
    ///
    /// # Errors
    /// [`DualError::Size`] if sizes differ.
    pub fn loss(&self, demonstrations: &[KeyValue<'a, R>], eta: R) -> Result<R, DualError> {
        let mut sum = R::ZERO;
        for pair in demonstrations {
            sum += R::dot(pair.value, &self.predict(pair.key)?);
        }
        Ok(R::ZERO - sum / (eta * self.normaliser.sum))
    }

    /// The support points' coefficients, in the order of the steps.
    pub fn coefficients(&self) -> impl Iterator<Item = &[R]> {
        self.terms.iter().map(|(_, coefficient)| coefficient.as_slice())
    }
}

/// The whole training: `W_0` from the query side, one step on every demonstration in `order`, and the
/// prediction for `query`.
///
/// # Errors
/// [`DualError`] if sizes differ or nothing is visible.
pub fn predict_after_training<'a, R: Real>(
    demonstrations: &[KeyValue<'a, R>],
    query_side: &[KeyValue<'a, R>],
    query: &[R],
    order: impl IntoIterator<Item = usize>,
) -> Result<Vec<R>, DualError> {
    let keys = demonstrations.iter().chain(query_side).map(|pair| pair.key);
    let normaliser = Normaliser::new(keys, query).ok_or(DualError::NothingVisible { query: 0 })?;
    let d_v = demonstrations.iter().chain(query_side).next().map_or(0, |pair| pair.value.len());
    let mut dual = ExactDual::initial(query_side, normaliser, d_v)?;
    for i in order {
        dual.step(demonstrations[i])?;
    }
    dual.predict(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    /// Logits 0 and sqrt(2) sqrt(2) = 2 with values 0 and 1: e^2 / (1 + e^2), a closed form.
    #[test]
    fn two_demonstrations_give_the_logistic_function() {
        let root = 2.0_f64.sqrt();
        let demonstrations =
            [KeyValue { key: &[0.0], value: &[0.0] }, KeyValue { key: &[root], value: &[1.0] }];
        let out = predict_after_training(&demonstrations, &[], &[root], 0..2).unwrap();
        let e2 = icl_numerics::math::exp(2.0);
        Tolerance::roundoff_f64(4).assert_close(out[0], e2 / (1.0 + e2), 1.0, "logistic");
    }

    #[test]
    fn a_second_epoch_adds_exactly_one_more_increment_and_the_loss_falls_without_bound() {
        let demonstrations = [
            KeyValue { key: &[1.0, 0.5], value: &[2.0] },
            KeyValue { key: &[-0.5, 1.0], value: &[1.0] },
        ];
        let query = [0.3, 0.7];
        let normaliser = Normaliser::new(demonstrations.iter().map(|p| p.key), &query).unwrap();
        let mut dual = ExactDual::initial(&[], normaliser, 1).unwrap();
        let mut outputs = vec![dual.predict(&query).unwrap()[0]];
        let mut losses = vec![dual.loss(&demonstrations, 1.0).unwrap()];
        for _ in 0..3 {
            for pair in demonstrations {
                dual.step(pair).unwrap();
            }
            outputs.push(dual.predict(&query).unwrap()[0]);
            losses.push(dual.loss(&demonstrations, 1.0).unwrap());
        }
        let t = Tolerance::roundoff_f64(8);
        for i in 1..3 {
            let (a, b) = (outputs[i] - outputs[i - 1], outputs[i + 1] - outputs[i]);
            t.assert_close(b, a, a.abs(), "increment of an epoch");
            let (a, b) = (losses[i] - losses[i - 1], losses[i + 1] - losses[i]);
            t.assert_close(b, a, a.abs(), "decrease of an epoch");
            assert!(b < 0.0);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let normaliser = Normaliser { shift: 0.0, sum: 1.0 };
        let side = [KeyValue { key: &[1.0], value: &[1.0, 2.0] }];
        let error = ExactDual::initial(&side, normaliser, 1).unwrap_err();
        assert_eq!(error.to_string(), "value: found size 2, expected 1");
    }
}
