//! Attention with negative demonstrations: `v~_i = v_i - (beta/m) sum_{j in N(i)} v_j`.
//!
//! Paper gap: `N(i)` is ours: the `m` demonstrations `j != i` with the lowest plain score
//! `q_i . k_j` of demonstration `i` as a query; ties go to the lower index. The choice of `N(i)` has
//! no gradient.

use super::{Entry, FusedModification, Modification};
use crate::ModelError;
use crate::composite::ops;
use candle_core::{DType, Tensor};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "negative",
    equation: "v_i -> v_i - (beta/m) sum_{j in N(i)} v_j, N(i) = the m lowest scores",
    neutral: "m=2,beta=0",
    examples: &["m=2,beta=0.5", "m=1,beta=1"],
    build: |options| Ok(Box::new(Negative::from_options(options)?)),
};

/// `m` negatives of weight `beta / m`.
#[derive(Debug)]
pub(super) struct Negative {
    m: usize,
    beta: f64,
}

impl Negative {
    /// Reads `m` and `beta`.
    pub(super) fn from_options(options: &mut super::Options) -> Result<Self, ModelError> {
        let m = options.number("m", 3, [1, crate::prompt::MAX_DEMOS])?;
        let beta = options.number("beta", 0.1, [0.0, 16.0])?;
        Ok(Self { m, beta })
    }
}

impl Modification for Negative {
    fn mix(&self, scores: &Tensor, values: &Tensor) -> Result<Tensor, ModelError> {
        let (batch, heads, n, _) = scores.dims4()?;
        check_count(self.m, n)?;
        let rows: Vec<f64> = scores.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        let weight = -self.beta / self.m as f64;
        let mut mixing = vec![0.0; rows.len()];
        for (matrix, scores) in mixing.chunks_exact_mut(n * n).zip(rows.chunks_exact(n * n)) {
            for (i, set) in negative_sets(scores, n, self.m).iter().enumerate() {
                for j in set {
                    matrix[i * n + j] = weight;
                }
            }
        }
        let mixing = Tensor::from_vec(mixing, (batch, heads, n, n), values.device())?
            .to_dtype(values.dtype())?;
        Ok((values + ops::product(&mixing, &values.contiguous()?)?)?)
    }

    fn needs_scores(&self) -> bool {
        self.beta != 0.0
    }

    fn fused(&self) -> Option<FusedModification> {
        let negatives = self.needs_scores().then_some((self.m, self.beta as f32));
        Some(FusedModification { negatives, ..FusedModification::PLAIN })
    }
}

/// `m` negatives exist only among `n > m` demonstrations.
pub(crate) fn check_count(m: usize, n: usize) -> Result<(), ModelError> {
    if m < n {
        return Ok(());
    }
    Err(ModelError::setting("negative:m", m, format!("less than the {n} demonstrations")))
}

/// `N(i)` for every `i`: the `m` indices `j != i` with the lowest `scores[i n + j]`, ascending by
/// score, ties by index.
pub fn negative_sets(scores: &[f64], n: usize, m: usize) -> Vec<Vec<usize>> {
    let row = |i: usize| {
        let mut others: Vec<usize> = (0..n).filter(|j| *j != i).collect();
        others.sort_by(|a, b| scores[i * n + a].total_cmp(&scores[i * n + b]));
        others.truncate(m);
        others
    };
    (0..n).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_scores_are_chosen_without_the_demonstration_itself() {
        let scores = [-9.0, 2.0, 1.0, 0.0, -9.0, 0.0, 3.0, 2.0, -9.0];
        assert_eq!(negative_sets(&scores, 3, 1), [[2], [0], [1]]);
        assert_eq!(negative_sets(&scores, 3, 2), [[2, 1], [0, 2], [1, 0]]);
    }
}
