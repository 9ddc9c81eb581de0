//! Attention with negative demonstrations: `v~_i = v_i - (beta/m) sum_{j in N(i)} v_j`.
//!
//! Paper gap: `N(i)` is ours: the `m` demonstrations `j != i` with the lowest plain score
//! `q_i . k_j` of demonstration `i` as a query; ties go to the lower index. The choice of `N(i)` has
//! no gradient.

use super::{Entry, Modification, Terms};
use crate::ModelError;
use crate::ops;
use candle_core::{D, DType, Tensor};
use icl_registry::Options;

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
    pub(super) fn from_options(options: &mut Options) -> Result<Self, ModelError> {
        let m = options.number("m", 3, [1, crate::prompt::MAX_DEMOS])?;
        let beta = options.number("beta", 0.1, [0.0, 16.0])?;
        Ok(Self { m, beta })
    }
}

impl Modification for Negative {
    fn mix(&self, scores: &Tensor, values: &Tensor) -> Result<Tensor, ModelError> {
        check_count(self.m, scores.dim(D::Minus1)?)?;
        let chosen = lowest(scores, self.m)?.to_dtype(values.dtype())?;
        let mixing = (chosen * (-self.beta / self.m as f64))?;
        Ok((values + ops::product(&mixing, &values.contiguous()?)?)?)
    }

    fn needs_scores(&self) -> bool {
        self.beta != 0.0
    }

    fn terms(&self) -> Option<Terms> {
        let negatives = self.needs_scores().then_some((self.m, self.beta as f32));
        Some(Terms { negatives, ..Terms::PLAIN })
    }
}

/// `m` negatives exist only among `n > m` demonstrations.
pub(crate) fn check_count(m: usize, n: usize) -> Result<(), ModelError> {
    if m < n {
        return Ok(());
    }
    Err(ModelError::setting("negative:m", m, format!("less than the {n} demonstrations")))
}

/// 1 where `j` is in `N(i)`, else 0, for scores `[.., n, n]` of any device: the `m` lowest of every row but its
/// own entry, ties to the lower index; fewer where fewer are finite.
fn lowest(scores: &Tensor, m: usize) -> Result<Tensor, ModelError> {
    let (n, device) = (scores.dim(D::Minus1)?, scores.device());
    let own = Tensor::eye(n, DType::U8, device)?.broadcast_as(scores.shape())?;
    let taken = Tensor::new(f64::INFINITY, device)?.to_dtype(scores.dtype())?;
    let taken = taken.broadcast_as(scores.shape())?;
    let index = Tensor::arange(0_u32, n as u32, device)?;
    let mut left = own.where_cond(&taken, &scores.contiguous()?)?;
    let mut chosen = scores.zeros_like()?;
    for _ in 0..m {
        let lowest = index.broadcast_eq(&left.argmin_keepdim(D::Minus1)?)?;
        // an entry that is infinite is nobody's negative
        let finite = left.broadcast_lt(&taken)?;
        chosen = (chosen + (&lowest * finite)?.to_dtype(scores.dtype())?)?;
        left = lowest.where_cond(&taken, &left)?;
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn sets(scores: &[f64], n: usize, m: usize) -> Vec<Vec<usize>> {
        let scores = Tensor::from_slice(scores, (1, 1, n, n), &Device::Cpu).unwrap();
        let chosen = lowest(&scores, m).unwrap().flatten_to(2).unwrap().to_vec2::<f64>().unwrap();
        let row = |row: &Vec<f64>| (0..n).filter(|j| row[*j] == 1.0).collect();
        chosen.iter().map(row).collect()
    }

    #[test]
    fn the_lowest_scores_are_chosen_without_the_demonstration_itself() {
        let scores = [-9.0, 2.0, 1.0, 0.0, -9.0, 0.0, 3.0, 2.0, -9.0];
        assert_eq!(sets(&scores, 3, 1), [[2], [0], [1]]);
        assert_eq!(sets(&scores, 3, 2), [[1, 2], [0, 2], [0, 1]]);
    }

    #[test]
    fn a_demonstration_that_is_not_seen_is_no_negative() {
        let unseen = f64::INFINITY;
        let scores = [0.0, unseen, 5.0, 1.0, 0.0, unseen, unseen, unseen, 0.0];
        assert_eq!(sets(&scores, 3, 2), [vec![2], vec![0], vec![]]);
    }
}
