//! Losses of gradient descent and of its preconditioned forms over the demonstrations of many prompts, in `f64`.

use super::constants::{self, Family, Step, left};
use icl_model::prompt::PromptSampler;
use icl_numerics::{largest, order, symmetric};

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
            .flat_map(|g: &Vec<f64>| {
                symmetric::eigen(&g.chunks(d).map(<[f64]>::to_vec).collect::<Vec<_>>()).0
            })
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

    /// The optima of a family of steps in whitened inputs, the best first.
    pub(super) fn optima(&self, family: Family, count: usize) -> Vec<Vec<Step>> {
        /// Prompts of the search.
        const PART: usize = 512;
        constants::optima(&self.eigenvalues, PART * self.d, family, count)
    }
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
