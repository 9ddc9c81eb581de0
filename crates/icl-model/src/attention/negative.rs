//! Attention with negative demonstrations: `v~_i = v_i - (beta/m) sum_{j in N(i)} v_j`.
//!
//! Paper gap: `N(i)` is ours, one of four rules over the others `j != i`:
//!
//! | rule | `N(i)` |
//! |---|---|
//! | `lowest` | the `m` lowest plain scores `q_i . k_j` of demonstration `i` as a query (default) |
//! | `highest` | the `m` highest |
//! | `next` | the `m` that follow in the prompt's order, cyclically: random for exchangeable demonstrations |
//! | `all` | all others, with `m` their number |
//!
//! Ties go to the lower index. The choice of `N(i)` has no gradient. Where a demonstration does not see another,
//! that one is not its negative.
//!
//! What `N(i)` depends on: by score, demonstration `i` is read as a query, label included. In prompts whose query
//! has no label, the label's columns of `W_Q` never receive a gradient, so they keep their initial values, and the
//! sets depend on those: on the start's standard deviation and seed. `tests/negatives.rs` measures by how much;
//! `next` and `all` read no score.

use super::{Entry, Modification, Negatives, Rule, Terms};
use crate::ModelError;
use crate::ops;
use candle_core::{D, DType, Tensor};
use icl_registry::Options;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "negative",
    equation: "v_i -> v_i - (beta/m) sum_{j in N(i)} v_j, N(i) = the m lowest scores, or by rule",
    neutral: "m=2,beta=0",
    examples: &[
        "m=2,beta=0.5",
        "m=1,beta=1",
        "m=2,beta=0.5,rule=highest",
        "m=3,beta=0.5,rule=next",
        "beta=0.5,rule=all",
    ],
    build: |options| Ok(Box::new(Negative::from_options(options)?)),
};

const RULES: [(&str, Rule); 4] = [
    ("lowest", Rule::Lowest),
    ("highest", Rule::Highest),
    ("next", Rule::Next),
    ("all", Rule::All),
];

/// Negatives of weight `beta / m`.
#[derive(Debug)]
pub(super) struct Negative {
    m: usize,
    beta: f64,
    rule: Rule,
}

impl Negative {
    /// Reads `rule`, `beta` and, unless all others are meant, `m`.
    pub(super) fn from_options(options: &mut Options) -> Result<Self, ModelError> {
        let rule = options.choice("rule", &RULES)?;
        let m = match rule {
            Rule::All => 1,
            _ => options.number("m", 3, [1, crate::prompt::MAX_DEMOS])?,
        };
        let beta = options.number("beta", 0.1, [0.0, 16.0])?;
        Ok(Self { m, beta, rule })
    }

    fn negatives(&self) -> Negatives {
        Negatives { m: self.m, beta: self.beta as f32, rule: self.rule }
    }
}

impl Modification for Negative {
    fn mix(&self, scores: &Tensor, values: &Tensor) -> Result<Tensor, ModelError> {
        let n = scores.dim(D::Minus1)?;
        let count = self.negatives().count(n);
        check_count(count, n)?;
        let chosen = lowest(&ranked(self.rule, scores)?, count)?.to_dtype(values.dtype())?;
        let mixing = match self.rule {
            Rule::All => {
                // as many as are seen
                let number = chosen.sum_keepdim(D::Minus1)?.clamp(1.0, f64::INFINITY)?;
                (chosen.broadcast_div(&number)? * -self.beta)?
            }
            _ => (chosen * (-self.beta / self.m as f64))?,
        };
        Ok((values + ops::product(&mixing, &values.contiguous()?)?)?)
    }

    fn needs_scores(&self) -> bool {
        self.beta != 0.0
    }

    fn terms(&self) -> Option<Terms> {
        let negatives = self.needs_scores().then(|| self.negatives());
        Some(Terms { negatives, ..Terms::PLAIN })
    }
}

/// `m` negatives exist only among `n > m` demonstrations, and at least one.
pub(crate) fn check_count(m: usize, n: usize) -> Result<(), ModelError> {
    if (1..n).contains(&m) {
        return Ok(());
    }
    Err(ModelError::setting(
        "negative:m",
        m,
        format!("at least 1 and less than the {n} demonstrations"),
    ))
}

/// Scores whose lowest are the rule's negatives; infinite where a demonstration is not seen.
fn ranked(rule: Rule, scores: &Tensor) -> Result<Tensor, ModelError> {
    let (n, device) = (scores.dim(D::Minus1)?, scores.device());
    let ranks = match rule {
        Rule::Lowest => return Ok(scores.clone()),
        Rule::Highest => scores.neg()?,
        Rule::Next | Rule::All => {
            let place = |ij: usize| ((ij % n + n - ij / n) % n) as f64;
            let places: Vec<f64> = (0..n * n).map(place).collect();
            let places = Tensor::from_vec(places, (n, n), device)?.to_dtype(scores.dtype())?;
            places.broadcast_as(scores.shape())?.contiguous()?
        }
    };
    let unseen = Tensor::new(f64::INFINITY, device)?.to_dtype(scores.dtype())?;
    let unseen = unseen.broadcast_as(scores.shape())?;
    Ok(scores.broadcast_lt(&unseen)?.where_cond(&ranks, &unseen)?)
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
    fn rules_turn_the_scores_or_take_places_and_leave_out_what_is_not_seen() {
        let unseen = f64::INFINITY;
        let scores = [-9.0, 2.0, 1.0, 0.0, -9.0, unseen, 3.0, 2.0, -9.0];
        let of = |rule: Rule, m: usize| {
            let tensor = Tensor::from_slice(&scores, (1, 1, 3, 3), &Device::Cpu).unwrap();
            let ranked = ranked(rule, &tensor).unwrap();
            sets(&ranked.flatten_all().unwrap().to_vec1::<f64>().unwrap(), 3, m)
        };
        assert_eq!(of(Rule::Lowest, 1), [[2], [0], [1]]);
        assert_eq!(of(Rule::Highest, 1), [[1], [0], [0]]);
        // the next one is not seen by the second, whose next but one is the first
        assert_eq!(of(Rule::Next, 1), [[1], [0], [0]]);
        assert_eq!(of(Rule::All, 2), [vec![1, 2], vec![0], vec![0, 1]]);
    }

    #[test]
    fn a_demonstration_that_is_not_seen_is_no_negative() {
        let unseen = f64::INFINITY;
        let scores = [0.0, unseen, 5.0, 1.0, 0.0, unseen, unseen, unseen, 0.0];
        assert_eq!(sets(&scores, 3, 2), [vec![2], vec![0], vec![]]);
    }
}
