//! The three modified losses and the training on them by one gradient step.
//!
//! | name | loss | step |
//! |---|---|---|
//! | regularised, alpha | `L + (alpha / 2 eta) |W|_F^2`, one full-batch step | `W_0 <- (1-alpha) W_0` |
//! | the same, one step on each demonstration | | `W <- (1-alpha) W` before every increment |
//! | augmented, g1, g2 | `-(1/(eta D)) sum_i g1(v_i)^T W phi(g2(k_i))` | increments `g1(v_i) phi(g2(k_i))^T` |
//! | negative, m, beta | `-(1/(eta D)) sum_i (v_i - (beta/m) sum_{j in N(i)} v_j)^T W phi(k_i)` | mixed values |
//!
//! They combine: values `g1`, then negatives, then `1 - alpha`. Theory:
//! `docs/theory.md`, section 10.

use crate::dual::{ExactDual, KeyValue, Normaliser};
use crate::{DualError, Real};

/// A map `g` of keys or values.
pub type Augmentation<'a, R> = dyn Fn(&[R]) -> Vec<R> + 'a;

/// A key and the value that a modified loss pairs with it.
pub type TrainingPair<R> = (Vec<R>, Vec<R>);

/// A modified loss, for demonstrations whose keys and values may be transformed.
pub struct ModifiedLoss<'a, R = f64> {
    /// `alpha`; 0 leaves `W_0`.
    pub alpha: R,
    /// `g2`, or `None` for the identity.
    pub keys: Option<&'a Augmentation<'a, R>>,
    /// `g1`, or `None` for the identity.
    pub values: Option<&'a Augmentation<'a, R>>,
    /// `beta` and the sets `N(i)`, or `None` for no negatives.
    pub negatives: Option<(R, &'a [Vec<usize>])>,
}

impl<R: Real> ModifiedLoss<'_, R> {
    /// The loss without a modification.
    pub const PLAIN: Self = Self { alpha: R::ZERO, keys: None, values: None, negatives: None };

    /// Keys and values that the modified loss pairs with each other, demonstration by demonstration.
    ///
    /// # Errors
    /// [`DualError`] if the negative sets do not fit the demonstrations.
    pub fn training_pairs(
        &self,
        demonstrations: &[KeyValue<'_, R>],
    ) -> Result<Vec<TrainingPair<R>>, DualError> {
        let map = |g: Option<&Augmentation<'_, R>>, x: &[R]| match g {
            Some(g) => g(x),
            None => x.to_vec(),
        };
        let keys: Vec<Vec<R>> = demonstrations.iter().map(|p| map(self.keys, p.key)).collect();
        let values: Vec<Vec<R>> =
            demonstrations.iter().map(|p| map(self.values, p.value)).collect();
        let mixed = match self.negatives {
            None => values,
            Some((beta, sets)) => mix(&values, beta, sets)?,
        };
        Ok(keys.into_iter().zip(mixed).collect())
    }
}

/// `v_i - (beta / |N(i)|) sum_{j in N(i)} v_j`.
fn mix<R: Real>(values: &[Vec<R>], beta: R, sets: &[Vec<usize>]) -> Result<Vec<Vec<R>>, DualError> {
    DualError::size("negative sets", sets.len(), values.len())?;
    let mixed = |(value, set): (&Vec<R>, &Vec<usize>)| {
        let mut value = value.clone();
        let weight = beta / R::from_f64(set.len() as f64);
        for j in set {
            let other = values.get(*j).ok_or(DualError::Size {
                op: "negative index",
                found: *j,
                expected: values.len(),
            })?;
            for (value, other) in value.iter_mut().zip(other) {
                *value = *value - weight * *other;
            }
        }
        Ok(value)
    };
    values.iter().zip(sets).map(mixed).collect()
}

/// `f(q)` after one full-batch gradient step on the modified loss.
///
/// # Errors
/// [`DualError`] if sizes differ or nothing is visible.
pub fn predict_after_full_batch_step<R: Real>(
    loss: &ModifiedLoss<'_, R>,
    demonstrations: &[KeyValue<'_, R>],
    query_side: &[KeyValue<'_, R>],
    query: &[R],
) -> Result<Vec<R>, DualError> {
    let owned = loss.training_pairs(demonstrations)?;
    let (mut dual, pairs) = initial(&owned, query_side, query)?;
    if loss.alpha != R::ZERO {
        dual.scale(R::ONE - loss.alpha);
    }
    for pair in pairs {
        dual.step(pair)?;
    }
    dual.predict(query)
}

/// `f(q)` after one gradient step on each demonstration in turn, where every step has the whole penalty: `W` shrinks
/// by `1 - alpha` before every increment, so the first demonstrations weigh least.
///
/// # Errors
/// [`DualError`] if sizes differ or nothing is visible.
pub fn predict_after_sample_steps<R: Real>(
    loss: &ModifiedLoss<'_, R>,
    demonstrations: &[KeyValue<'_, R>],
    query_side: &[KeyValue<'_, R>],
    query: &[R],
) -> Result<Vec<R>, DualError> {
    let owned = loss.training_pairs(demonstrations)?;
    let (mut dual, pairs) = initial(&owned, query_side, query)?;
    for pair in pairs {
        dual.scale(R::ONE - loss.alpha);
        dual.step(pair)?;
    }
    dual.predict(query)
}

/// The dual before training, and the demonstrations with what the modified loss pairs.
fn initial<'a, R: Real>(
    pairs: &'a [TrainingPair<R>],
    query_side: &[KeyValue<'a, R>],
    query: &[R],
) -> Result<(ExactDual<'a, R>, Vec<KeyValue<'a, R>>), DualError> {
    let pairs: Vec<KeyValue<'a, R>> =
        pairs.iter().map(|(key, value)| KeyValue { key, value }).collect();
    let keys = pairs.iter().chain(query_side).map(|pair| pair.key);
    let normaliser = Normaliser::new(keys, query).ok_or(DualError::NothingVisible { query: 0 })?;
    let d_v = pairs.iter().chain(query_side).next().map_or(0, |pair| pair.value.len());
    Ok((ExactDual::initial(query_side, normaliser, d_v)?, pairs))
}
