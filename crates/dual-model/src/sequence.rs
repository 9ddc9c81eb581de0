//! Every token as query, several heads, masks: the same statement with sums over what is visible. Theory:
//! `docs/theory.md`, sections 5 and 6.

use crate::dual::{KeyValue, predict_after_training};
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
