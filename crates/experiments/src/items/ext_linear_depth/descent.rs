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
use icl_model::prompt::PromptSampler;
use icl_numerics::cholesky::solve;
use icl_numerics::{largest, order, symmetric};

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
fn left(steps: &[Step], eigenvalue: f64) -> f64 {
    let (mut m, mut t) = (1.0, 1.0);
    for Step { eta, gamma } in steps {
        let x = t * t * eigenvalue;
        m *= 1.0 - eta * x;
        t *= 1.0 - gamma * x;
    }
    m
}

/// Second moments of the demonstrations of many prompts, in units of the inputs' standard deviations.
pub(super) struct Moments {
    d: usize,
    /// `[prompts, d, d]`.
    matrices: Vec<Vec<f64>>,
    /// `[prompts d]`.
    eigenvalues: Vec<f64>,
}

impl Moments {
    /// Those of the first `n` prompts.
    pub(super) fn new(sampler: &PromptSampler, n: usize) -> Self {
        /// Prompts in memory at a time.
        const PART: usize = 4096;
        let (d, demos) = (sampler.shape.d_t, sampler.shape.n_demos);
        let mut matrices = Vec::with_capacity(n);
        for first in (0..n).step_by(PART) {
            let batch = sampler.batch(first as u64, PART.min(n - first));
            for p in 0..batch.n_prompts {
                let tokens: Vec<f64> = batch.prompt(p).into_iter().map(f64::from).collect();
                let column = |i: usize| -> Vec<f64> {
                    tokens.chunks_exact(d + 1).take(demos).map(|token| token[i]).collect()
                };
                let columns: Vec<Vec<f64>> = (0..d).map(column).collect();
                let entry =
                    |ij: usize| order::dot(&columns[ij / d], &columns[ij % d]) / demos as f64;
                matrices.push((0..d * d).map(entry).collect());
            }
        }
        let eigenvalues = matrices
            .iter()
            .flat_map(|g: &Vec<f64>| symmetric::eigen(g.clone(), d).values)
            .collect();
        Self { d, matrices, eigenvalues }
    }

    /// `E (error)^2` of steps in whitened inputs.
    pub(super) fn whitened_loss(&self, steps: &[Step]) -> f64 {
        let left: Vec<f64> = self.eigenvalues.iter().map(|x| left(steps, *x)).collect();
        order::sum_of_squares(&left) / self.matrices.len() as f64
    }

    /// `E (error)^2` of `steps` steps of size `eta` on inputs with these standard deviations:
    /// `sum_ij (sd_i / sd_j)^2 M_ij^2` with `M = (I - eta G)^steps`.
    pub(super) fn descent_loss(&self, scales: &[f64], eta: f64, steps: usize) -> f64 {
        let d = self.d;
        let one = |g: &Vec<f64>| {
            let step = |i: usize, j: usize| {
                f64::from(u8::from(i == j)) - eta * scales[i] * scales[j] * g[i * d + j]
            };
            let mut m: Vec<f64> = (0..d * d).map(|ij| step(ij / d, ij % d)).collect();
            for _ in 1..steps {
                let entry = |ij: usize| (0..d).map(|k| step(ij / d, k) * m[k * d + ij % d]).sum();
                m = (0..d * d).map(entry).collect();
            }
            let weighted = |ij: usize| m[ij] * scales[ij / d] / scales[ij % d];
            (0..d * d).map(|ij| weighted(ij) * weighted(ij)).sum()
        };
        let losses: Vec<f64> = self.matrices.iter().map(one).collect();
        order::sum(&losses) / losses.len() as f64
    }

    /// The best step size of [`Self::descent_loss`] from 0 to 2 over the largest variance, by the golden section: the
    /// loss is convex.
    pub(super) fn best_step(&self, scales: &[f64], steps: usize) -> f64 {
        /// `(sqrt 5 - 1) / 2`.
        const GOLDEN: f64 = 0.618_033_988_749_894_8;
        let top = largest::value(scales.iter().map(|s| s * s));
        let (mut low, mut high) = (0.0, 2.0 / top);
        while high - low > 1e-5 / top {
            let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
            let loss = |eta| self.descent_loss(scales, eta, steps);
            if loss(left) <= loss(right) {
                high = right;
            } else {
                low = left;
            }
        }
        f64::midpoint(low, high)
    }

    /// The optima of a family of steps in whitened inputs, each once, the best first; what leaves more than four times the
    /// loss of the best is none that anything would end in.
    ///
    /// Searched from every start on a part of the prompts, and followed on all.
    pub(super) fn optima(&self, family: Family, count: usize) -> Vec<Vec<Step>> {
        /// Prompts of the search.
        const PART: usize = 512;
        let part = &self.eigenvalues[..self.d * self.matrices.len().min(PART)];
        let searched = starts(family, count).into_iter().map(|start| minimum(part, start, count));
        let searched = distinct(searched.collect());
        let all = searched.into_iter().map(|(_, at)| minimum(&self.eigenvalues, at, count));
        let mut found = distinct(all.collect());
        let most = found.first().map_or(0.0, |best| 4.0 * best.0);
        found.retain(|one| one.0 <= most);
        found.into_iter().map(|(_, constants)| steps(&constants, count)).collect()
    }
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
    let mut damping = 1e-3;
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
                damping /= 10.0;
                break;
            }
            damping *= 10.0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::{Predictor, Problem};
    use icl_model::prompt::{Inputs, PromptShape};
    use icl_model::task::{self, Scale};
    use icl_numerics::lanes::Isa;

    fn moments(n: usize) -> (PromptSampler, Moments) {
        let shape = PromptShape::new(20, 5, 1).unwrap();
        let linear = task::find("linear").unwrap();
        let sampler = PromptSampler::new(linear, Scale::Raw, shape, 1, "test", Isa::detect())
            .with_inputs(Inputs::Normal);
        let moments = Moments::new(&sampler, n);
        (sampler, moments)
    }

    /// The mean over prompts of squared errors, over unit tasks and queries in the units of the inputs.
    #[test]
    fn losses_are_those_of_predictions_made_step_by_step() {
        let (sampler, moments) = moments(4);
        let scales = [1.0, 0.5, 2.0, 1.0, 0.25];
        let batch = sampler.batch(0, 4);
        let unit = |i: usize| -> Vec<f64> { (0..5).map(|j| f64::from(u8::from(i == j))).collect() };
        let loss = |scales: &[f64; 5], predictor: Predictor| {
            let mut sum = 0.0;
            for p in 0..4 {
                let tokens = batch.prompt(p);
                let row = |row: &[f32]| -> Vec<f64> {
                    row[..5].iter().zip(scales).map(|(x, s)| f64::from(*x) * s).collect()
                };
                let x: Vec<Vec<f64>> = tokens.chunks(6).take(20).map(row).collect();
                for ij in 0..25 {
                    let (query, w) = (unit(ij / 5), unit(ij % 5));
                    let y = x.iter().map(|x| order::dot(x, &w)).collect();
                    let target = order::dot(&query, &w);
                    let problem = Problem { x: x.clone(), y, query, target, noise: Vec::new() };
                    let error = (predictor.predict(&problem) - target) * scales[ij / 5];
                    sum += (error / scales[ij % 5]) * (error / scales[ij % 5]);
                }
            }
            sum / 4.0
        };
        let gd = Predictor::Descent { steps: 3, eta: 0.3, gamma: 0.0 };
        let want = loss(&scales, gd);
        assert!((moments.descent_loss(&scales, 0.3, 3) / want - 1.0).abs() < 1e-12);
        let plus = Predictor::Descent { steps: 3, eta: 0.3, gamma: 0.2 };
        let step = Step { eta: 0.3, gamma: 0.2 };
        let want = loss(&[1.0; 5], plus);
        let got = moments.whitened_loss(&[step; 3]);
        assert!((got / want - 1.0).abs() < 1e-10, "{got} {want}");
    }

    #[test]
    fn one_step_is_the_closed_form_and_more_constants_do_no_worse() {
        let (_, moments) = moments(2048);
        let eta = moments.best_step(&[1.0; 5], 1);
        assert!((eta - 20.0 / 26.0).abs() < 0.02, "{eta}");
        let one = moments.optima(Family::PlusPlus, 1);
        assert!(one.len() == 1 && (one[0][0].eta - eta).abs() < 1e-4, "{one:?}");
        let mut last = f64::INFINITY;
        for count in 1..=3 {
            let descent =
                moments.descent_loss(&[1.0; 5], moments.best_step(&[1.0; 5], count), count);
            let own = moments.whitened_loss(&moments.optima(Family::Preconditioned, count)[0]);
            let plus = moments.whitened_loss(&moments.optima(Family::PlusPlus, count)[0]);
            assert!(own <= descent * (1.0 + 1e-6) && plus <= own * (1.0 + 1e-6));
            assert!(plus < last);
            last = plus;
        }
    }

    /// At an optimum no constant can be moved to a lower loss.
    #[test]
    fn optima_are_minima() {
        let (_, moments) = moments(512);
        let optima = moments.optima(Family::PlusPlus, 2);
        assert!(!optima.is_empty());
        for optimum in optima {
            let loss = moments.whitened_loss(&optimum);
            for i in 0..3 {
                for by in [-1e-2, 1e-2] {
                    let mut moved = optimum.clone();
                    match i {
                        2 => moved[0].gamma += by,
                        l => moved[l].eta += by,
                    }
                    assert!(moments.whitened_loss(&moved) > loss, "{optimum:?} {i}");
                }
            }
        }
    }
}
