//! Floors of softmax attention on linear regression in context: the lowest loss that one or two heads can reach.
//!
//! The task is `y = w . x` with `w ~ N(0, I)` and inputs `x ~ U(-a, a)^{d_t}`; a prompt has `N` demonstrations and a query
//! whose label is masked. With scores `beta x_i . x_q` and output scales `c`, heads predict
//! `sum_h c_h sum_i p_hi y_i`, and the mean over `w` is in closed form:
//!
//! ```text
//! nmse = E |sum_h c_h s_h - x_q|^2 / E |x_q|^2         s_h = sum_i p_hi x_i, p_hi = exp(beta_h x_i . x_q) / Z_h
//! c = B^{-1} a,  nmse = 1 - a . c / E |x_q|^2          a_h = E s_h . x_q,  B_hg = E s_h . s_g
//! ```
//!
//! `Z_h` holds the query's own term `exp(beta_h |x_q|^2)` if the query token is in the softmax; its value is zero. Negatives
//! replace `p` by `p (I - (beta/m) Neg)`. The expectations over inputs are means over random prompts, with control
//! variates and a standard error. Scores are searched on a set of prompts of its own, so that the reported loss is that of
//! fixed scores on fresh prompts. Nothing depends on the half-width but `beta`, which scales as `1 / a^2`.
//! Theory: `docs/theory.md`, section 12.
//!
//! ```
//! use dual_model::floor::{Problem, Query, Sampling, floor};
//! use icl_numerics::threads::Threads;
//!
//! let problem = Problem { n_demos: 4, d_t: 2, query: Query::Outside, ..Problem::default() };
//! let found = floor(&problem, Sampling::default(), &Threads::One)?;
//! // without the query token the signs of beta and c may both be turned: the branches are equal
//! let [aligned, opposed] = [&found.branches[0], &found.branches[1]];
//! assert!((aligned.nmse - opposed.nmse).abs() < 5.0 * aligned.standard_error);
//! assert!(aligned.heads[0].beta > 0.0 && opposed.heads[0].c < 0.0);
//! # Ok::<(), dual_model::DualError>(())
//! ```

mod minimum;
mod moments;
mod problem;
mod prompts;
mod sampler;
mod smoother;

pub use problem::{
    MOST_DEMOS, MOST_INPUTS, MOST_WITH_NEGATIVES, Negatives, Problem, Query, Sampling,
};

use crate::DualError;
use icl_numerics::math;
use icl_numerics::threads::Threads;
use moments::{Estimate, Scales};
use sampler::{Candidate, Sampler};
use std::f64::consts::LN_2;

/// A set of weights of one kind, and the best of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// All `beta` positive: the query attends to inputs like itself. Of two, one is at least twice the other.
    Aligned,
    /// All `beta` negative: it attends to inputs unlike itself, and the output turns their labels. Of
    /// two, one is at least twice the other.
    Opposed,
    /// Two heads `(c, beta)` and `(-c, -beta)`.
    Equal,
    /// Two heads with `beta` of both signs and any `c`.
    Unequal,
}

impl Kind {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aligned => "aligned",
            Self::Opposed => "opposed",
            Self::Equal => "equal",
            Self::Unequal => "unequal",
        }
    }

    /// Signs of the scores of two heads; the first is that of one head.
    fn signs(self) -> [f64; 2] {
        match self {
            Self::Aligned => [1.0, 1.0],
            Self::Opposed => [-1.0, -1.0],
            Self::Equal | Self::Unequal => [1.0, -1.0],
        }
    }

    fn scales(self) -> Scales {
        if self == Self::Equal { Scales::Opposite } else { Scales::Free }
    }
}

/// One head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// Output scale.
    pub c: f64,
    /// Scores are `beta x_i . x_q`.
    pub beta: f64,
    /// Mean softmax mass of the query token; 0 if it is not in the softmax.
    pub query_mass: f64,
}

/// The best weights of a kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its kind.
    pub kind: Kind,
    /// Its loss relative to the target's mean square.
    pub nmse: f64,
    /// Of `nmse`.
    pub standard_error: f64,
    /// Its heads.
    pub heads: Vec<Head>,
}

/// The best weights of every kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Floor {
    /// One head: aligned, opposed. Two heads: aligned, opposed, equal, unequal.
    pub branches: Vec<Branch>,
    /// Queries that the losses are means over.
    pub prompts: u64,
}

impl Floor {
    /// The branch with the lowest loss.
    pub fn lowest(&self) -> &Branch {
        let [first, rest @ ..] = &self.branches[..] else { unreachable!("a floor has branches") };
        rest.iter().fold(first, |low, branch| if branch.nmse < low.nmse { branch } else { low })
    }
}

/// Range of `ln gamma` that is searched, where `gamma = |beta| a^2 sqrt(d_t) / 3` is the standard deviation of a score:
/// from `2^-7` to `2^6`. A minimum that is attained only in a limit is reported at the range's end.
const RANGE: [f64; 2] = [-7.0 * LN_2, 6.0 * LN_2];

/// Points of the range at which a search of one variable starts: one for each power of two.
const POINTS: usize = 14;

/// Precision of `ln gamma`; the loss is flat, so its own error is of second order.
const PRECISION: f64 = 1e-3;

/// The best weights of every kind, their losses and standard errors.
///
/// # Errors
/// [`DualError::Parameter`] if a number is out of its range or not finite.
pub fn floor(problem: &Problem, sampling: Sampling, threads: &Threads) -> Result<Floor, DualError> {
    problem.check()?;
    sampling.check()?;
    let kinds: &[Kind] = if problem.heads == 1 {
        &[Kind::Aligned, Kind::Opposed]
    } else {
        &[Kind::Aligned, Kind::Opposed, Kind::Equal, Kind::Unequal]
    };
    let sampler = Sampler::new(problem, sampling, threads);
    let search = Search { sampler: &sampler, problem, prompts: &sampler.for_search() };
    let candidates: Vec<Candidate> = kinds.iter().map(|kind| search.best(*kind)).collect();
    let (estimates, prompts) = sampler.estimates(&candidates);
    let branches = kinds.iter().zip(&candidates).zip(&estimates);
    let branches =
        branches.map(|((kind, candidate), estimate)| branch(problem, *kind, candidate, estimate));
    Ok(Floor { branches: branches.collect(), prompts })
}

/// The loss at given scores: one `beta` a head, `c` chosen best.
///
/// # Errors
/// [`DualError::Parameter`] if a number is out of its range or not finite, [`DualError::Size`] if the `betas` are not as
/// many as the heads.
pub fn at(
    problem: &Problem,
    betas: &[f64],
    sampling: Sampling,
    threads: &Threads,
) -> Result<Branch, DualError> {
    problem.check()?;
    sampling.check()?;
    DualError::size("scores of heads", betas.len(), problem.heads)?;
    let betas: Vec<f64> =
        betas.iter().map(|beta| problem::finite("beta", *beta)).collect::<Result<_, _>>()?;
    let area = problem.half_width * problem.half_width;
    let kind = match betas.as_slice() {
        betas if betas.iter().all(|beta| *beta >= 0.0) => Kind::Aligned,
        betas if betas.iter().all(|beta| *beta <= 0.0) => Kind::Opposed,
        _ => Kind::Unequal,
    };
    let betas = betas.iter().map(|beta| beta * area).collect();
    let candidate = Candidate { betas, scales: Scales::Free };
    let sampler = Sampler::new(problem, sampling, threads);
    let (estimates, _) = sampler.estimates(std::slice::from_ref(&candidate));
    Ok(branch(problem, kind, &candidate, &estimates[0]))
}

/// What is reported of an estimate; `beta` goes back to inputs of the problem's half-width.
fn branch(problem: &Problem, kind: Kind, candidate: &Candidate, estimate: &Estimate) -> Branch {
    let area = problem.half_width * problem.half_width;
    let heads = candidate.betas.iter().zip(estimate.c).zip(estimate.query_mass);
    let heads = heads.map(|((beta, c), query_mass)| Head { c, beta: beta / area, query_mass });
    Branch {
        kind,
        nmse: estimate.nmse,
        standard_error: estimate.standard_error,
        heads: heads.collect(),
    }
}

/// The search for the best scores.
struct Search<'a> {
    sampler: &'a Sampler<'a>,
    problem: &'a Problem,
    prompts: &'a [prompts::Block],
}

impl Search<'_> {
    /// Scores of `kind` at standard deviations `e^x`.
    fn candidate(&self, kind: Kind, x: &[f64]) -> Candidate {
        let unit = 3.0 / (self.problem.d_t as f64).sqrt();
        let betas = x.iter().zip(kind.signs()).map(|(x, sign)| sign * unit * math::exp(*x));
        Candidate { betas: betas.collect(), scales: kind.scales() }
    }

    /// The best scores of a kind.
    fn best(&self, kind: Kind) -> Candidate {
        let loss = |x: &[f64], prompts: &[prompts::Block]| {
            self.sampler.estimate_on(prompts, &self.candidate(kind, x)).nmse
        };
        if self.problem.heads == 1 {
            let x = minimum::of_one(RANGE, POINTS, PRECISION, |x| loss(&[x], self.prompts));
            return self.candidate(kind, &[x]);
        }
        if kind == Kind::Equal {
            let x = minimum::of_one(RANGE, POINTS, PRECISION, |x| loss(&[x, x], self.prompts));
            return self.candidate(kind, &[x, x]);
        }
        let few = &self.prompts[..self.prompts.len().div_ceil(4)];
        let starts = coarse_minima(kind, |x| loss(x, few));
        let inside = |x: [f64; 2]| {
            let in_range = x.iter().all(|x| (RANGE[0]..=RANGE[1]).contains(x));
            // of one sign and nearly equal, they are a derivative with scales beyond all bounds
            in_range && (kind == Kind::Unequal || x[0] - x[1] >= LN_2)
        };
        let value = |x: [f64; 2]| if inside(x) { loss(&x, self.prompts) } else { f64::NAN };
        let mut best = (starts[0], f64::INFINITY);
        for start in starts {
            let found = minimum::of_two(start, 0.3, 1e-7, value);
            if found.1 < best.1 {
                best = found;
            }
        }
        self.candidate(kind, &best.0)
    }
}

/// The two lowest points of a grid of powers of two, from `2^-4` to `2^3`; of two heads with the same sign the first has
/// the larger score.
fn coarse_minima(kind: Kind, loss: impl Fn(&[f64]) -> f64) -> Vec<[f64; 2]> {
    let steps: Vec<f64> = (-4..4).map(|k| f64::from(k) * LN_2).collect();
    let mut points = Vec::new();
    for (i, first) in steps.iter().enumerate() {
        let others = if kind == Kind::Unequal { &steps[..] } else { &steps[..i] };
        points.extend(others.iter().map(|second| [*first, *second]));
    }
    let mut values: Vec<(f64, [f64; 2])> =
        points.into_iter().map(|point| (loss(&point), point)).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    values.into_iter().take(2).map(|(_, point)| point).collect()
}
