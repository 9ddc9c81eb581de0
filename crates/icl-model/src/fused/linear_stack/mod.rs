//! Layers of linear attention on linear regression, as one pass over sixteen sets of demonstrations at a time.
//!
//! Tokens are `z = [x; y]`, the query's label is zero, and a layer adds to every token
//!
//! ```text
//! z_j <- z_j + (1/N) sum_i (x_j^T Q x_i) [P x_i; y_i]        i over the demonstrations
//! ```
//!
//! The prediction is minus the query's label after the last layer. Labels `y = X w` make all of it linear in the task:
//! the error is `x_q^T M w`, where `M` `[d, d]` depends on the demonstrations through `G = X^T X / N` alone. So the
//! expectation over the task `w ~ N(0, diag(sd)^{-2})` and the query `x_q ~ N(0, diag(sd)^2)` is in closed form,
//!
//! ```text
//! E (x_q^T M w)^2 = sum_ij (sd_i / sd_j)^2 M_ij^2
//! ```
//!
//! and only demonstrations are sampled. Source of the layers: K. Ahn et al. (2023). Theory: `docs/theory.md`, section 15.

mod matrix;
mod pass;

use super::On;
use super::accumulator::{self, Accumulator};
use crate::objective::LossAndGradient;
use crate::prompt::PromptSampler;
use icl_numerics::lanes::{Kernel, LANES, Lane16, Lanes};
use pass::{LayerWeights, Scratch};

/// A stack of layers of linear attention.
#[derive(Debug, Clone)]
pub struct FusedLinearStack {
    layers: usize,
    /// Standard deviations of the inputs' entries.
    scales: Vec<f32>,
    /// `(sd_i / sd_j)^2`.
    c: Vec<f32>,
}

impl FusedLinearStack {
    /// A stack for inputs whose entries have these standard deviations; the sampler's own inputs are standard normal.
    pub fn new(layers: usize, scales: &[f64]) -> Self {
        let ratio = |i: &f64, j: &f64| (i / j * (i / j)) as f32;
        let c = scales.iter().flat_map(|i| scales.iter().map(move |j| ratio(i, j))).collect();
        Self { layers, scales: scales.iter().map(|x| *x as f32).collect(), c }
    }

    /// `sd_i sd_j / N` and `(sd_i / sd_j)^2`, `[d, d]` each, as the pass has them.
    pub fn constants(&self, n_demos: usize) -> [Vec<f32>; 2] {
        let of = |i: &f32| {
            let row = self.scales.iter().map(|j| i * j / n_demos as f32);
            row.collect::<Vec<_>>()
        };
        [self.scales.iter().flat_map(of).collect(), self.c.clone()]
    }

    /// Number of parameters: `Q` of all layers, then `P` of all but the last.
    pub fn n_parameters(&self) -> usize {
        let d = self.scales.len();
        (2 * self.layers - 1) * d * d
    }

    /// `1/2 E (error)^2` over tasks and queries, for every set of demonstrations `first .. first + n` of the sampler;
    /// `first` is rounded down to a multiple of 16.
    pub fn losses(
        &self,
        on: On<'_>,
        parameters: &[f32],
        sampler: &PromptSampler,
        first: u64,
        n: usize,
    ) -> Vec<f64> {
        let weights = self.weights(parameters);
        let n_groups = n.div_ceil(LANES);
        let chunk = |own: &mut Own, chunk: usize| {
            let one = |g| {
                own.sample(sampler, first, g);
                on.isa.run(Evaluate { stack: self, weights: &weights, own })
            };
            accumulator::groups(chunk, n_groups).map(one).collect::<Vec<Lane16>>()
        };
        let chunks =
            on.threads.map(accumulator::n_chunks(n_groups), || self.buffers(sampler), chunk);
        let lanes = chunks.concat();
        (0..n).map(|p| f64::from(lanes[p / LANES][p % LANES])).collect()
    }

    /// Mean of those losses, and its gradient.
    pub fn loss_and_gradient(
        &self,
        on: On<'_>,
        parameters: &[f32],
        sampler: &PromptSampler,
        first: u64,
        n: usize,
    ) -> LossAndGradient {
        let weights = self.weights(parameters);
        let n_groups = n.div_ceil(LANES);
        let chunk = |own: &mut Own, chunk: usize| {
            let mut sum = Accumulator::new(self.n_parameters());
            for g in accumulator::groups(chunk, n_groups) {
                own.sample(sampler, first, g);
                let weight = accumulator::lane_weights(g, n);
                on.isa.run(Train { stack: self, weights: &weights, own, weight, sum: &mut sum });
            }
            sum
        };
        let chunks =
            on.threads.map(accumulator::n_chunks(n_groups), || self.buffers(sampler), chunk);
        Accumulator::join(chunks, on.isa, self.n_parameters())
    }

    fn weights(&self, parameters: &[f32]) -> Vec<LayerWeights> {
        assert_eq!(parameters.len(), self.n_parameters(), "packed parameters");
        let size = self.scales.len() * self.scales.len();
        let matrix = |i: usize| -> Vec<Lane16> {
            let entries = parameters.iter().skip(i * size).take(size);
            entries.map(|x| Lane16([*x; LANES])).collect()
        };
        (0..self.layers)
            .map(|i| LayerWeights { q: matrix(i), p: matrix(self.layers + i) })
            .collect()
    }

    fn buffers(&self, sampler: &PromptSampler) -> Own {
        let shape = sampler.shape;
        Own {
            scratch: Scratch::new(self.layers, self.scales.len()),
            tokens: vec![Lane16::ZERO; shape.n_tokens() * shape.d()],
            targets: vec![Lane16::ZERO; shape.d_s],
        }
    }
}

/// A thread's buffers.
struct Own {
    scratch: Scratch,
    tokens: Vec<Lane16>,
    targets: Vec<Lane16>,
}

impl Own {
    /// The tokens of group `g` after `first`.
    fn sample(&mut self, sampler: &PromptSampler, first: u64, g: usize) {
        let group = first / LANES as u64 + g as u64;
        sampler.sample_group(group, &mut self.tokens, &mut self.targets);
    }
}

struct Evaluate<'a> {
    stack: &'a FusedLinearStack,
    weights: &'a [LayerWeights],
    own: &'a mut Own,
}

impl Kernel for Evaluate<'_> {
    type Output = Lane16;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Lane16 {
        let Own { scratch, tokens, .. } = self.own;
        scratch.read(l, tokens, &self.stack.scales);
        l.store(scratch.forward(l, self.weights, &self.stack.c))
    }
}

struct Train<'a> {
    stack: &'a FusedLinearStack,
    weights: &'a [LayerWeights],
    own: &'a mut Own,
    weight: Lane16,
    sum: &'a mut Accumulator,
}

impl Kernel for Train<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let FusedLinearStack { scales, c, .. } = self.stack;
        let Own { scratch, tokens, .. } = self.own;
        scratch.read(l, tokens, scales);
        let loss = scratch.forward(l, self.weights, c);
        let sum = l.mul_add(loss, l.load(&self.weight), l.load(&self.sum.loss));
        self.sum.loss = l.store(sum);
        scratch.backward(l, self.weights, c, &self.weight, &mut self.sum.gradient);
    }
}
