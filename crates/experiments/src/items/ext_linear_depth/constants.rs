//! Gradient descent and its preconditioned forms, by their constants, in `f64`.
//!
//! In inputs whitened by their covariance, a step of preconditioned descent multiplies the error's component along an
//! eigenvector of the demonstrations' second moments by a number that depends on the eigenvalue alone, and so does a
//! step that also shrinks the inputs along their own second moments (GD++ of J. von Oswald et al., 2023):
//!
//! ```text
//! m_{l+1} = m_l (1 - eta_l t_l^2 x),   t_{l+1} = t_l (1 - gamma_l t_l^2 x),   m_0 = t_0 = 1;     loss = E sum over eigenvalues m_L(x)^2
//! ```
//!
//! Nothing here is shared with the layers' pass: sums, matrices and optimisation are its own.

use crate::named::named;
use icl_numerics::cholesky::solve;
use icl_numerics::{largest, order};

named! {
    /// What is compared with as many layers.
    pub(crate) enum Family {
        /// One step size, as inputs are.
        Descent = "gradient descent",
        /// A step size for every step, in whitened inputs.
        Preconditioned = "preconditioned descent",
        /// The same, with inputs shrunk between steps.
        PlusPlus = "GD++",
    }
}

/// Constants of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) eta: f64,
    pub(super) gamma: f64,
}

/// The factor that these steps leave of the error along an eigenvalue.
pub(super) fn left(steps: &[Step], eigenvalue: f64) -> f64 {
    let (mut m, mut t) = (1.0, 1.0);
    for Step { eta, gamma } in steps {
        let x = t * t * eigenvalue;
        m *= 1.0 - eta * x;
        t *= 1.0 - gamma * x;
    }
    m
}

/// The optima of a family of steps over these eigenvalues, each once, the best first; what leaves more than four times the
/// loss of the best is none that anything would end in.
///
/// Searched from every start over the first `part` eigenvalues, and followed over all.
pub(super) fn optima(
    eigenvalues: &[f64],
    part: usize,
    family: Family,
    count: usize,
) -> Vec<Vec<Step>> {
    let part = &eigenvalues[..eigenvalues.len().min(part)];
    let searched = starts(family, count).into_iter().map(|start| minimum(part, start, count));
    let searched = distinct(searched.collect());
    let all = searched.into_iter().map(|(_, at)| minimum(eigenvalues, at, count));
    let mut found = distinct(all.collect());
    let most = found.first().map_or(0.0, |best| 4.0 * best.0);
    found.retain(|one| one.0 <= most);
    found.into_iter().map(|(_, constants)| steps(&constants, count)).collect()
}

/// Constants and their loss.
type Optimum = (f64, Vec<f64>);

/// Each optimum once, the best first: two starts that end at one agree in its loss far better than a per mille.
fn distinct(mut found: Vec<Optimum>) -> Vec<Optimum> {
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.dedup_by(|next, kept| (next.0 / kept.0 - 1.0).abs() < 1e-3);
    found
}

/// A local minimum of the mean square of `left` over the constants, by the steps of Levenberg and Marquardt.
fn minimum(eigenvalues: &[f64], mut constants: Vec<f64>, count: usize) -> Optimum {
    let n = eigenvalues.len() as f64;
    let residuals = |constants: &[f64]| -> Vec<f64> {
        let steps = steps(constants, count);
        eigenvalues.iter().map(|x| left(&steps, *x)).collect()
    };
    let mut values = residuals(&constants);
    let mut loss = order::sum_of_squares(&values) / n;
    // short steps first: long ones leave the valley of their start
    let mut damping = 1.0;
    for _ in 0..ITERATIONS {
        let slopes: Vec<Vec<f64>> =
            (0..constants.len()).map(|i| slope(&constants, i, residuals)).collect();
        let gradient: Vec<f64> = slopes.iter().map(|s| -order::dot(s, &values)).collect();
        let mut better = false;
        while damping < 1e9 {
            let row = |a: usize| {
                let damped = |b: usize| if a == b { 1.0 + damping } else { 1.0 };
                let entry = |b: usize| order::dot(&slopes[a], &slopes[b]) * damped(b);
                (0..slopes.len()).map(entry).collect()
            };
            let step = solve((0..slopes.len()).map(row).collect(), 0.0, &gradient);
            let moved: Vec<f64> = constants.iter().zip(step).map(|(c, s)| c + s).collect();
            let new = residuals(&moved);
            let new_loss = order::sum_of_squares(&new) / n;
            if new_loss < loss {
                better = new_loss < loss * (1.0 - 1e-9);
                (constants, values, loss) = (moved, new, new_loss);
                damping /= 3.0;
                break;
            }
            damping *= 4.0;
        }
        if !better {
            break;
        }
    }
    (loss, constants)
}

/// Most steps of one search.
const ITERATIONS: usize = 100;

/// Derivative of residuals towards constant `i`, by central differences.
fn slope(constants: &[f64], i: usize, residuals: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-6 * largest::at_least(constants[i].abs(), 1.0);
    let at = |sign: f64| {
        let mut moved = constants.to_vec();
        moved[i] += sign * h;
        residuals(&moved)
    };
    at(1.0).iter().zip(at(-1.0)).map(|(above, below)| (above - below) / (2.0 * h)).collect()
}

/// From the packed constants `[eta_0 .. eta_{L-1}, gamma_0 .. gamma_{L-2}]`; without `gamma` they are zero.
fn steps(constants: &[f64], count: usize) -> Vec<Step> {
    let gamma = |l: usize| constants.get(count + l).copied().unwrap_or(0.0);
    (0..count).map(|l| Step { eta: constants[l], gamma: gamma(l) }).collect()
}

/// Starts of the search: after every combination of shrinking inputs of eigenvalue 1 to 0.7 and to 0.3, steps that leave
/// little there, the first of them long or short.
fn starts(family: Family, count: usize) -> Vec<Vec<f64>> {
    let shrunk = match family {
        Family::PlusPlus => count - 1,
        Family::Descent | Family::Preconditioned => 0,
    };
    let start = |choice: usize| {
        let bit = |i: usize| choice >> i & 1 == 1;
        let (mut eta, mut gamma, mut t) = (Vec::new(), Vec::new(), 1.0_f64);
        for l in 0..count {
            let first = if bit(shrunk) { 0.8 } else { 0.4 };
            eta.push(if l == 0 { first } else { 0.8 / (t * t) });
            if l < shrunk {
                let by = if bit(l) { 0.7 } else { 0.3 };
                gamma.push(by / (t * t));
                t *= 1.0 - by;
            }
        }
        [eta, gamma].concat()
    };
    (0..2 << shrunk).map(start).collect()
}
