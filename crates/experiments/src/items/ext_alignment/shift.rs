//! Problems unlike those of training.

use crate::named::named;
use crate::regression::Problem;

named! {
    /// How problems differ from those of training.
    pub(super) enum Shift {
        /// Inputs, and with them labels, times a factor.
        Inputs = "input scale",
        /// Weights, and with them labels, times a factor.
        Weights = "weight scale",
        /// So many of the labels are normal numbers.
        Labels = "random labels",
    }
}

impl Shift {
    /// By how much.
    pub(super) fn amounts(self) -> [f64; 4] {
        match self {
            Self::Inputs => [0.5, 1.0, 1.5, 2.0],
            Self::Weights => [0.5, 1.0, 2.0, 5.0],
            Self::Labels => [0.0, 2.0, 4.0, 8.0],
        }
    }

    /// The problem, shifted.
    pub(super) fn apply(self, mut problem: Problem, amount: f64) -> Problem {
        let Problem { x, y, query, target, noise } = &mut problem;
        match self {
            Self::Inputs => {
                x.iter_mut().flatten().chain(query).chain(y).for_each(|entry| *entry *= amount);
                *target *= amount;
            }
            Self::Weights => {
                y.iter_mut().for_each(|y| *y *= amount);
                *target *= amount;
            }
            Self::Labels => {
                let first = y.iter_mut().zip(noise).take(amount as usize);
                first.for_each(|(y, noise)| *y = *noise);
            }
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named as _;

    fn problem() -> Problem {
        Problem {
            x: vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]],
            y: vec![7.0, 8.0, 9.0],
            query: vec![0.5, 0.25],
            target: 2.0,
            noise: vec![-1.0, -2.0, -3.0],
        }
    }

    #[test]
    fn labels_follow_what_is_scaled() {
        let scaled = Shift::Inputs.apply(problem(), 2.0);
        assert_eq!(scaled.x[2], [10.0, 12.0]);
        assert_eq!(
            (scaled.query, scaled.y, scaled.target),
            (vec![1.0, 0.5], vec![14.0, 16.0, 18.0], 4.0)
        );
        let scaled = Shift::Weights.apply(problem(), 2.0);
        assert_eq!(scaled.x, problem().x);
        assert_eq!((scaled.y, scaled.target), (vec![14.0, 16.0, 18.0], 4.0));
    }

    #[test]
    fn the_first_labels_become_noise_and_the_target_stays() {
        let replaced = Shift::Labels.apply(problem(), 2.0);
        assert_eq!((replaced.y, replaced.target), (vec![-1.0, -2.0, 9.0], 2.0));
    }

    #[test]
    fn every_shift_has_an_amount_that_changes_nothing() {
        for shift in Shift::ALL {
            let same = |amount: &f64| {
                let shifted = shift.apply(problem(), *amount);
                shifted.x == problem().x && shifted.y == problem().y
            };
            assert_eq!(shift.amounts().iter().filter(|amount| same(amount)).count(), 1);
        }
    }
}
