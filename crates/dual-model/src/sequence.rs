//! Every token as query, several heads, masks: the same statement with sums over what is visible. Theory:
//! `docs/theory.md`, sections 5 and 6.

use crate::dual::{ExactDual, KeyValue, Normaliser, predict_after_training};
use crate::feature_dual::FeatureDual;
use crate::feature_map::FeatureMap;
use crate::head::Head;
use crate::{DualError, Matrix, Real};

/// Which keys a query may see. Invisible keys are excluded, not zeroed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// All tokens.
    All,
    /// Query `i` sees tokens `0..=i`.
    Causal,
    /// Tokens `0..n`; the rest is padding.
    Prefix(usize),
    /// Tokens `0..n` see each other, later ones see themselves and all before (prefix-LM).
    PrefixLm(usize),
}

impl Visibility {
    /// How many of `n_tokens` tokens query `i` sees; they are always the first ones.
    pub fn end(self, i: usize, n_tokens: usize) -> usize {
        let end = match self {
            Self::All => n_tokens,
            Self::Causal => i + 1,
            Self::Prefix(n) => n,
            Self::PrefixLm(n) => n.max(i + 1),
        };
        end.min(n_tokens)
    }
}

/// Demonstrations and query-side tokens that query `i` sees; the first `n_demos` tokens are demonstrations.
fn visible<R: Real>(
    head: &Head<R>,
    i: usize,
    n_demos: usize,
    visibility: Visibility,
) -> (Vec<KeyValue<'_, R>>, Vec<KeyValue<'_, R>>) {
    let end = visibility.end(i, head.n_tokens());
    let split = n_demos.min(end);
    (head.key_values(0..split), head.key_values(split..end))
}

/// Test predictions of the exact dual for every query, `[tokens, d_v]`: for each query `W_0` from the
/// visible query side, one gradient step per visible demonstration.
///
/// # Errors
/// [`DualError::NothingVisible`] naming the query, or sizes that differ.
pub fn exact_predictions<R: Real>(
    head: &Head<R>,
    n_demos: usize,
    visibility: Visibility,
) -> Result<Matrix<R>, DualError> {
    every_query(head, |i| {
        let (demonstrations, side) = visible(head, i, n_demos, visibility);
        predict_after_training(&demonstrations, &side, head.queries.row(i), 0..demonstrations.len())
    })
}

/// The same with an explicit `W` on the features of `map`.
///
/// # Errors
/// As [`exact_predictions`].
pub fn feature_predictions<M: FeatureMap + ?Sized>(
    map: &M,
    head: &Head,
    n_demos: usize,
    visibility: Visibility,
) -> Result<Matrix, DualError> {
    every_query(head, |i| {
        let (demonstrations, side) = visible(head, i, n_demos, visibility);
        let query = head.queries.row(i);
        let mut dual = FeatureDual::initial(map, &demonstrations, &side, query)?;
        demonstrations.iter().try_for_each(|pair| dual.step(*pair))?;
        dual.predict(query)
    })
}

/// What the dual of every token predicts where the token is its own query side, each `[tokens, d_v]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FromOthers<R = f64> {
    /// `W_0 phi(q_i)`: the token's own part.
    pub initial: Matrix<R>,
    /// `W_1 phi(q_i)`: after one gradient step on all other tokens.
    pub trained: Matrix<R>,
}

/// Test predictions of the exact dual where every token is the query side of itself and all others are its
/// demonstrations, as in a bidirectional encoder:
///
/// ```text
/// W_0 = (1/D) v_i phi(k_i)^T,     W_1 = W_0 + (1/D) sum_{j != i} v_j phi(k_j)^T,     D = sum_j K(k_j, q_i)
/// ```
///
/// # Errors
/// [`DualError::Size`] if there are not as many queries and values as keys, or sizes differ.
pub fn exact_from_others<R: Real>(head: &Head<R>) -> Result<FromOthers<R>, DualError> {
    let (n, d_v) = (head.n_tokens(), head.values.columns());
    DualError::size("queries", head.queries.rows(), n)?;
    DualError::size("values", head.values.rows(), n)?;
    DualError::size("query size", head.queries.columns(), head.keys.columns())?;
    let (mut initial, mut trained) = (Vec::with_capacity(n * d_v), Vec::with_capacity(n * d_v));
    for (i, query) in head.queries.iter_rows().enumerate() {
        let keys = head.keys.iter_rows();
        let normaliser =
            Normaliser::new(keys, query).ok_or(DualError::NothingVisible { query: i })?;
        let mut dual = ExactDual::initial(&[head.key_value(i)], normaliser, d_v)?;
        initial.extend(dual.predict(query)?);
        (0..n).filter(|j| *j != i).try_for_each(|j| dual.step(head.key_value(j)))?;
        trained.extend(dual.predict(query)?);
    }
    Ok(FromOthers {
        initial: Matrix::new(n, d_v, initial)?,
        trained: Matrix::new(n, d_v, trained)?,
    })
}

fn every_query<R: Real>(
    head: &Head<R>,
    predict: impl Fn(usize) -> Result<Vec<R>, DualError>,
) -> Result<Matrix<R>, DualError> {
    DualError::size("values", head.values.rows(), head.keys.rows())?;
    DualError::size("query size", head.queries.columns(), head.keys.columns())?;
    let mut entries = Vec::with_capacity(head.queries.rows() * head.values.columns());
    for i in 0..head.queries.rows() {
        let out = predict(i).map_err(|error| match error {
            DualError::NothingVisible { .. } => DualError::NothingVisible { query: i },
            other => other,
        })?;
        entries.extend(out);
    }
    Matrix::new(head.queries.rows(), head.values.columns(), entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::gaussian_rows;
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    /// The order of the sums alone differs: a token's own part comes first.
    #[test]
    fn from_all_others_every_token_predicts_what_it_does_from_any_demonstrations() {
        let matrix = |purpose: &str, d: usize| {
            let rows = gaussian_rows(&Stream::new(6, purpose), 9, d);
            Matrix::from_rows(rows.iter().map(Vec::as_slice)).unwrap()
        };
        let head = Head { keys: matrix("k", 3), queries: matrix("q", 3), values: matrix("v", 4) };
        let FromOthers { initial, trained } = exact_from_others(&head).unwrap();
        let want = exact_predictions(&head, 5, Visibility::All).unwrap();
        let tolerance = Tolerance::roundoff_f64(40);
        tolerance.assert_all_close(trained.entries(), want.entries(), "trained");
        // one token: nothing to learn from
        let one = |x: &Matrix| Matrix::from_rows([x.row(2)]).unwrap();
        let alone =
            Head { keys: one(&head.keys), queries: one(&head.queries), values: one(&head.values) };
        let alone = exact_from_others(&alone).unwrap();
        assert_eq!(alone.initial, alone.trained);
        tolerance.assert_all_close(alone.trained.row(0), head.values.row(2), "alone");
        // the own part of a token is its share of the kernel's sum times its value
        let q = head.queries.row(4);
        let kernel = |j: usize| icl_numerics::math::exp(f64::dot(head.keys.row(j), q));
        let share = kernel(4) / (0..9).map(kernel).sum::<f64>();
        let own: Vec<f64> = head.values.row(4).iter().map(|v| share * v).collect();
        tolerance.assert_all_close(initial.row(4), &own, "own part");
        let short = Head { values: Matrix::zeros(8, 4), ..head };
        assert!(exact_from_others(&short).is_err());
    }
}
