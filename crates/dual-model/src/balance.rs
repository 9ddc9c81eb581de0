//! Other projections with the same scores: what softmax attention does not see, and random features do.
//!
//! Scores are `q . k`. They keep under `q -> M q`, `k -> M^{-T} k`, and up to a constant of the query, which the softmax drops,
//! under `k -> k - c`. The variance of features depends on `z = |q + k|^2`, which changes. Theory: `docs/theory.md`, section 13.

use crate::head::{HeadMatrices, key_scale};
use crate::{DualError, Matrix};
use icl_numerics::symmetric::eigen;
use icl_numerics::{largest, order};

/// Smallest singular value of the scores relative to the largest one that a scale is taken from.
const SMALLEST: f64 = 1e-6;

/// The projections with the same scores whose `E |q|^2 + E |k|^2` is least, and with it `E |q + k|^2`.
///
/// `query_squares` and `key_squares` are the second moments of a token's coordinates on the query's and the keys' side,
/// which are uncorrelated; where a query's coordinate is always zero, it is left out. With `L = W_Q E[h h^T]^{1/2}`,
/// `R = W_K E[h h^T]^{1/2}` and the singular value decomposition `L^T R = U S V^T`,
///
/// ```text
/// q' = S^{1/2} U^T y  for  q = L y          k' = S^{-1/2} U^T L^T k          E q' q'^T = E k' k'^T = S
/// ```
///
/// The new size of a head is the number of coordinates of queries that are not always zero.
///
/// # Errors
/// [`DualError`] if sizes differ, or no coordinate of queries is left.
pub fn balanced(
    matrices: &HeadMatrices,
    query_squares: &[f64],
    key_squares: &[f64],
) -> Result<HeadMatrices, DualError> {
    let HeadMatrices { w_q, w_k, w_v } = matrices;
    DualError::size("second moments of queries", query_squares.len(), w_q.columns())?;
    DualError::size("second moments of keys", key_squares.len(), w_k.columns())?;
    let kept: Vec<usize> = (0..query_squares.len()).filter(|c| query_squares[*c] > 0.0).collect();
    if kept.is_empty() {
        let (found, expected) = ("none".to_owned(), "a coordinate of queries that is not zero");
        return Err(DualError::Parameter { name: "query_squares", found, expected });
    }
    let scale = key_scale(w_k.rows());
    let cross = cross(matrices, query_squares, &kept, scale);
    // L^T R R^T L
    let squared = |i: usize, j: usize| {
        let terms: Vec<f64> = (0..w_k.columns())
            .map(|c| cross.row(i)[c] * cross.row(j)[c] * key_squares[c])
            .collect();
        order::sum(&terms)
    };
    let r = kept.len();
    let (values, vectors) =
        eigen(&(0..r).map(|i| (0..r).map(|j| squared(i, j)).collect()).collect::<Vec<_>>());
    let singular: Vec<f64> = values.iter().map(|x| largest::at_least(*x, 0.0).sqrt()).collect();
    let least = SMALLEST * singular[0];
    let sizes: Vec<f64> = singular.iter().map(|s| largest::at_least(*s, least).sqrt()).collect();
    let new_scale = key_scale(r);
    let query = |i: usize, c: usize| match kept.iter().position(|k| *k == c) {
        Some(at) => sizes[i] * vectors[i][at] / (query_squares[c].sqrt() * new_scale),
        None => 0.0,
    };
    let key = |i: usize, c: usize| {
        let terms: Vec<f64> = (0..r).map(|j| vectors[i][j] * cross.row(j)[c]).collect();
        order::sum(&terms) / (sizes[i] * new_scale)
    };
    Ok(HeadMatrices {
        w_q: Matrix::from_fn(r, w_q.columns(), query),
        w_k: Matrix::from_fn(r, w_k.columns(), key),
        w_v: w_v.clone(),
    })
}

/// `L^T W_K` with both factors of the scale: `[kept, d]`.
fn cross(matrices: &HeadMatrices, squares: &[f64], kept: &[usize], scale: f64) -> Matrix {
    let HeadMatrices { w_q, w_k, .. } = matrices;
    Matrix::from_fn(kept.len(), w_k.columns(), |i, c| {
        let terms: Vec<f64> =
            (0..w_q.rows()).map(|a| w_q.row(a)[kept[i]] * w_k.row(a)[c]).collect();
        squares[kept[i]].sqrt() * scale * scale * order::sum(&terms)
    })
}

/// All keys less the mean of the first `n`, the demonstrations: the same attention. The query's own key is left out of
/// the mean, for it is no independent key: with it, the shift would have a part along the query.
///
/// # Errors
/// [`DualError::Parameter`] if there are not so many keys, or `n` is zero.
pub fn centred(keys: &Matrix, n: usize) -> Result<Matrix, DualError> {
    if n == 0 || n > keys.rows() {
        let (found, expected) = (n.to_string(), "one key or more, at most all");
        return Err(DualError::Parameter { name: "keys of a mean", found, expected });
    }
    let mean = |c: usize| {
        let column: Vec<f64> = keys.iter_rows().take(n).map(|key| key[c]).collect();
        order::sum(&column) / n as f64
    };
    let means: Vec<f64> = (0..keys.columns()).map(mean).collect();
    Ok(Matrix::from_fn(keys.rows(), keys.columns(), |i, c| keys.row(i)[c] - means[c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::gaussian_rows;
    use crate::head::Head;
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    const D: usize = 5;

    fn matrices() -> HeadMatrices {
        let w = |purpose: &str, size: f64| {
            let rows = gaussian_rows(&Stream::new(0, purpose), D, D).concat();
            Matrix::new(D, D, rows.into_iter().map(|x| size * x).collect()).unwrap()
        };
        HeadMatrices { w_q: w("q", 2.0), w_k: w("k", 0.3), w_v: w("v", 1.0) }
    }

    /// `W diag(squares) W^T` with the scale.
    fn second_moment(w: &Matrix, squares: &[f64]) -> Matrix {
        let scale = key_scale(w.rows());
        Matrix::from_fn(w.rows(), w.rows(), |i, j| {
            (0..D).map(|c| scale * scale * w.row(i)[c] * w.row(j)[c] * squares[c]).sum()
        })
    }

    fn trace(a: &Matrix) -> f64 {
        (0..a.rows()).map(|i| a.row(i)[i]).sum()
    }

    #[test]
    fn scores_stay_moments_agree_and_no_other_scale_has_smaller_ones() {
        let old = matrices();
        // the label of a query is masked
        let (queries, keys) = ([0.3, 0.3, 1.0, 0.3, 0.0], [0.3, 0.3, 1.0, 0.3, 4.0]);
        let new = balanced(&old, &queries, &keys).unwrap();
        let mut tokens =
            Matrix::new(3, D, (0..15).map(|i| f64::from(i % 7) - 3.0).collect()).unwrap();
        tokens.row_mut(2)[4] = 0.0;
        let [a, b]: [Head; 2] = [&old, &new].map(|m| Head::project(&tokens, m).unwrap());
        let score = |head: &Head, j: usize| order::dot(head.queries.row(2), head.keys.row(j));
        for j in 0..3 {
            Tolerance::roundoff_f64(1000).assert_close(score(&b, j), score(&a, j), 10.0, "score");
        }
        let [of_q, of_k] = [second_moment(&new.w_q, &queries), second_moment(&new.w_k, &keys)];
        let t = Tolerance::roundoff_f64(10_000);
        t.assert_all_close(of_q.entries(), of_k.entries(), "second moments");
        let least = trace(&of_q) + trace(&of_k);
        // q -> s q, k -> k / s leaves the scores too
        for s in [0.2, 0.5, 0.9, 1.0, 1.1, 2.0] {
            let [of_q, of_k] = [second_moment(&old.w_q, &queries), second_moment(&old.w_k, &keys)];
            assert!(s * s * trace(&of_q) + trace(&of_k) / (s * s) > least);
        }
        assert!(balanced(&old, &[0.0; D], &keys).is_err());
    }

    #[test]
    fn centred_demonstrations_have_mean_zero() {
        let keys = matrices().w_k;
        let shifted = centred(&keys, D - 1).unwrap();
        for c in 0..D {
            assert!(shifted.iter_rows().take(D - 1).map(|key| key[c]).sum::<f64>().abs() < 1e-14);
            let [a, b] = [&keys, &shifted].map(|keys| keys.row(D - 1)[c] - keys.row(0)[c]);
            assert!((a - b).abs() < 1e-14, "every key is shifted alike");
        }
        assert!(centred(&keys, 0).is_err() && centred(&keys, D + 1).is_err());
    }
}
