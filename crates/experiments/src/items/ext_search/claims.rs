//! What the grid says: which runs left the branch, and how near the chosen point is to the best of the others.

use super::{ITEM, Subject};
use anyhow::Context as _;
use artifact::claim::{Claim, Place, Side, at_least, over_seeds, sampled};
use artifact::statistics::comparison::FEWEST;
use artifact::statistics::interval::{self, Interval};
use artifact::statistics::share_interval;
use icl_numerics::largest;
use icl_numerics::order;

/// A subject with the losses of its runs, `[point][seed]`.
pub(super) struct Searched<'a> {
    pub(super) subject: &'a Subject,
    pub(super) losses: Vec<Vec<f64>>,
    /// A run is lost if its loss lies above the subject's best by more than this share.
    pub(super) lost: f64,
}

impl Searched<'_> {
    /// Whether a run left the branch, or never got into it.
    pub(super) fn is_lost(&self, loss: f64) -> bool {
        let best = largest::least(self.losses.iter().flatten().copied());
        // NaN is lost
        !matches!(
            loss.partial_cmp(&(best * (1.0 + self.lost))),
            Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
        )
    }

    /// Losses of the seeds that stay at a point.
    pub(super) fn kept(&self, point: usize) -> Vec<f64> {
        self.losses[point].iter().copied().filter(|loss| !self.is_lost(*loss)).collect()
    }

    /// Mean loss of the seeds that stay; of all where none does.
    pub(super) fn mean(&self, point: usize) -> f64 {
        let kept = self.kept(point);
        order::mean(&kept).or_else(|| order::mean(&self.losses[point])).unwrap_or(f64::NAN)
    }

    /// Loss at the chosen point over that at another, for every seed that stays at both.
    fn ratios(&self, chosen: usize, other: usize) -> Vec<f64> {
        let pairs = self.losses[chosen].iter().zip(&self.losses[other]);
        let both = pairs.filter(|(a, b)| !self.is_lost(**a) && !self.is_lost(**b));
        both.map(|(a, b)| a / b).collect()
    }

    /// The chosen point against the best of the others, at Bonferroni's level over `count` comparisons. The upper end is
    /// the highest of all: no other point is better by more. Points where fewer seeds stay than can be judged are left
    /// out, unless all are.
    fn against_others(&self, count: usize) -> anyhow::Result<Interval> {
        let chosen = self.subject.chosen().context("the chosen point is not on the grid")?;
        let others = (0..self.losses.len()).filter(|point| *point != chosen);
        let all: Vec<Vec<f64>> = others.map(|other| self.ratios(chosen, other)).collect();
        let most = all.iter().map(Vec::len).max().unwrap_or(0);
        let judged = all.iter().filter(|ratios| ratios.len() >= most.clamp(1, FEWEST));
        let intervals = judged.map(|ratios| interval::mean_of_several(ratios, count));
        let intervals: Vec<Interval> = intervals.collect::<Result<_, _>>()?;
        let mean = largest::value(intervals.iter().map(|one| one.mean));
        let upper = largest::value(intervals.iter().map(|one| one.upper));
        // where no seed stays at the chosen point and at another, nothing is known
        let own = intervals.iter().find(|one| one.mean == mean);
        let none = Interval { mean: 1.0, lower: 1.0, upper: 1.0, n: 0 };
        Ok(own.map_or(none, |own| Interval { upper, ..*own }))
    }
}

/// Of every subject how near the chosen point is to the best other; how many seeds stay at the chosen points of
/// attention alone.
pub(super) fn claims(searched: &[Searched<'_>]) -> anyhow::Result<Vec<Claim>> {
    let count = searched.iter().map(|one| one.losses.len() - 1).sum();
    let mut claims = Vec::new();
    let (mut stay, mut all) = (0, 0);
    for one in searched {
        let name = &one.subject.name;
        let statement =
            format!("{name}: loss at the chosen point over the best other point, seeds that stay");
        let place = Place { item: ITEM.id, claim: name, table: "grid" };
        let ratio = one.against_others(count)?;
        claims.push(over_seeds(place, &statement, ratio, Side::AtMost, 1.01));
        if let Some(chosen) = one.subject.chosen().filter(|_| one.subject.layers == 0) {
            stay += one.kept(chosen).len();
            all += one.losses[chosen].len();
        }
    }
    if all > 0 {
        let share = stay as f64 / all as f64;
        let claim = at_least(
            Place { item: ITEM.id, claim: "seeds-that-stay", table: "grid" },
            "Share of runs of one attention layer at the chosen points that stay in the better branch",
            share,
            0.8,
        );
        claims.push(sampled(claim, share_interval(share, all)).with_best(1.0));
    }
    // a search is for finding out
    claims.iter_mut().for_each(|claim| claim.expected = false);
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject {
            name: "plain".into(),
            modification: "plain".into(),
            n_heads: 1,
            layers: 0,
            rates: vec![0.1, 0.2],
            starts: vec![1.0],
            learning_rate: 0.2,
            initial_sd: 1.0,
        }
    }

    #[test]
    fn a_lost_seed_counts_but_does_not_move_the_comparison() {
        let subject = subject();
        let other = vec![0.5, 0.51, 0.5, 0.5, 0.5, 0.5, 0.5];
        let chosen = vec![0.505, 0.5151, 0.505, 0.505, 0.505, 0.505, 0.9];
        let one = Searched { subject: &subject, losses: vec![other, chosen], lost: 0.05 };
        assert_eq!((one.kept(0).len(), one.kept(1).len()), (7, 6));
        let ratio = one.against_others(1).unwrap();
        assert!((ratio.mean - 1.01).abs() < 1e-12 && ratio.n == 6);
        let claims = claims(&[one]).unwrap();
        assert!((claims[1].value - 6.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn where_no_seed_stays_nothing_is_judged() {
        let subject = subject();
        let losses = vec![vec![0.5; 6], vec![0.9; 6]];
        let one = Searched { subject: &subject, losses, lost: 0.05 };
        assert_eq!(one.against_others(1).unwrap().n, 0);
        assert!(one.is_lost(f64::NAN) && one.mean(1) == 0.9);
    }
}
