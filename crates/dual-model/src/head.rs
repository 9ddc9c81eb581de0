//! Keys, queries and values of one head, and the one place where they get their scale.
//!
//! ```text
//! k_j = W_K h_j / d_h^(1/4),      q_i = W_Q h_i / d_h^(1/4),      v_j = W_V h_j
//! ```
//!
//! Attention divides scores by `sqrt(d_h)`; half of that goes to each side, so that `K(k, q) = exp(k . q)`
//! carries no scale. Theory: `docs/theory.md`, section 2.

use crate::dual::KeyValue;
use crate::{DualError, Matrix, Real};
use std::ops::Range;

/// `d_h^(-1/4)`: the factor on keys and on queries of heads of size `d_h`.
pub fn key_scale(d_h: usize) -> f64 {
    1.0 / (d_h as f64).sqrt().sqrt()
}

/// Matrices of one head, applied as `W h`: `[d_h, d]`, `[d_h, d]`, `[d_v, d]`.
#[derive(Debug, Clone)]
pub struct HeadMatrices<R = f64> {
    /// `W_Q`.
    pub w_q: Matrix<R>,
    /// `W_K`.
    pub w_k: Matrix<R>,
    /// `W_V`.
    pub w_v: Matrix<R>,
}

/// Keys, queries and values of one head, `[tokens, d_h]`, `[tokens, d_h]`, `[tokens, d_v]`.
#[derive(Debug, Clone)]
pub struct Head<R = f64> {
    /// Keys, with their factor.
    pub keys: Matrix<R>,
    /// Queries, with their factor.
    pub queries: Matrix<R>,
    /// Values.
    pub values: Matrix<R>,
}

impl<R: Real> HeadMatrices<R> {
    /// Every head of a layer whose matrices stand as `[heads, d, d]`.
    ///
    /// # Errors
    /// [`DualError::Size`] if the arrays are not of one size or hold no whole number of heads.
    pub fn of_heads(d: usize, w_q: &[R], w_k: &[R], w_v: &[R]) -> Result<Vec<Self>, DualError> {
        let n_heads = w_q.len() / (d * d);
        for (op, w) in
            [("W_Q of all heads", w_q), ("W_K of all heads", w_k), ("W_V of all heads", w_v)]
        {
            DualError::size(op, w.len(), n_heads * d * d)?;
        }
        let part = |w: &[R], h: usize| Matrix::new(d, d, w[h * d * d..(h + 1) * d * d].to_vec());
        let head = |h: usize| -> Result<Self, DualError> {
            Ok(Self { w_q: part(w_q, h)?, w_k: part(w_k, h)?, w_v: part(w_v, h)? })
        };
        (0..n_heads).map(head).collect()
    }
}

impl<R: Real> Head<R> {
    /// The head of `tokens` `[tokens, d]`: every entry is the scale times one [`Real::dot`].
    ///
    /// # Errors
    /// [`DualError::Size`] if a matrix does not have rows of size `d`.
    pub fn project(tokens: &Matrix<R>, matrices: &HeadMatrices<R>) -> Result<Self, DualError> {
        let HeadMatrices { w_q, w_k, w_v } = matrices;
        let scale = R::from_f64(key_scale(w_k.rows()));
        let scaled = |w: &Matrix<R>| -> Result<Matrix<R>, DualError> {
            let mut rows = w.apply_to_rows(tokens)?;
            rows.entries_mut().iter_mut().for_each(|entry| *entry = scale * *entry);
            Ok(rows)
        };
        Ok(Self { keys: scaled(w_k)?, queries: scaled(w_q)?, values: w_v.apply_to_rows(tokens)? })
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.keys.rows()
    }

    /// Key and value of token `j`.
    pub fn key_value(&self, j: usize) -> KeyValue<'_, R> {
        KeyValue { key: self.keys.row(j), value: self.values.row(j) }
    }

    /// Keys and values of some tokens, in their order.
    pub fn key_values(&self, tokens: Range<usize>) -> Vec<KeyValue<'_, R>> {
        tokens.map(|j| self.key_value(j)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads of size 16: the factor is exactly one half.
    #[test]
    fn keys_and_queries_carry_half_of_the_scale_each_and_values_none() {
        let tokens = Matrix::new(2, 3, vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.25]).unwrap();
        let w = |first: f64, rows: usize| {
            Matrix::from_fn(rows, 3, |i, j| first + i as f64 - 2.0 * j as f64)
        };
        let matrices = HeadMatrices { w_q: w(0.5, 16), w_k: w(-1.0, 16), w_v: w(2.0, 5) };
        let head: Head = Head::project(&tokens, &matrices).unwrap();
        let plain = |w: &Matrix, i: usize, a: usize| -> f64 {
            (0..3).map(|j| w.row(a)[j] * tokens.row(i)[j]).sum()
        };
        for i in 0..2 {
            for a in 0..16 {
                assert_eq!(head.keys.row(i)[a], plain(&matrices.w_k, i, a) / 2.0);
                assert_eq!(head.queries.row(i)[a], plain(&matrices.w_q, i, a) / 2.0);
            }
            for a in 0..5 {
                assert_eq!(head.values.row(i)[a], plain(&matrices.w_v, i, a));
            }
        }
        assert_eq!(head.key_values(1..2)[0].value, head.values.row(1));
        let narrow = HeadMatrices { w_v: Matrix::zeros(5, 2), ..matrices };
        assert!(Head::project(&tokens, &narrow).is_err());
    }

    #[test]
    fn arrays_of_several_heads_are_parted_and_others_refused() {
        let whole: Vec<f64> = (0..8).map(f64::from).collect();
        let heads = HeadMatrices::of_heads(2, &whole, &whole, &whole).unwrap();
        assert_eq!(heads.len(), 2);
        assert_eq!(heads[1].w_v.entries(), [4.0, 5.0, 6.0, 7.0]);
        let error = HeadMatrices::of_heads(2, &whole, &whole[..6], &whole).unwrap_err();
        assert_eq!(error.to_string(), "W_K of all heads: found size 6, expected 8");
        assert!(HeadMatrices::of_heads(2, &whole[..7], &whole, &whole).is_err());
    }
}
