//! Sums over prompts: per lane within a chunk of groups, then the chunks in order, then the lanes.

use crate::objective::LossAndGradient;
use crate::prompt::CHUNK;
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use std::ops::Range;

/// Number of chunks of `n_groups` groups.
pub(super) fn n_chunks(n_groups: usize) -> usize {
    n_groups.div_ceil(CHUNK)
}

/// The groups of a chunk.
pub(super) fn groups(chunk: usize, n_groups: usize) -> Range<usize> {
    chunk * CHUNK..((chunk + 1) * CHUNK).min(n_groups)
}

/// `1/n` for the lanes of group `g` that hold one of `n` prompts, 0 for the others.
pub(super) fn lane_weights(g: usize, n: usize) -> Lane16 {
    let weight = |lane: usize| {
        if g * LANES + lane < n { 1.0 / n as f32 } else { 0.0 }
    };
    Lane16(std::array::from_fn(weight))
}

/// Sums of one chunk, per lane.
pub(super) struct Accumulator {
    pub(super) loss: Lane16,
    pub(super) gradient: Vec<Lane16>,
}

impl Accumulator {
    pub(super) fn new(n_parameters: usize) -> Self {
        Self { loss: Lane16::ZERO, gradient: vec![Lane16::ZERO; n_parameters] }
    }

    /// Adds `1/2 |out - target|^2 weight` to the loss; replaces `out` by the gradient towards it.
    #[inline(always)]
    pub(super) fn add_loss<L: Lanes>(
        &mut self,
        l: L,
        out: &mut [Lane16],
        targets: &[Lane16],
        weight: &Lane16,
    ) {
        let (weight, half) = (l.load(weight), l.splat(0.5));
        let mut loss = l.load(&self.loss);
        for (out, target) in out.iter_mut().zip(targets) {
            let error = l.sub(l.load(out), l.load(target));
            let weighted = l.mul(error, weight);
            loss = l.mul_add(l.mul(half, error), weighted, loss);
            *out = l.store(weighted);
        }
        self.loss = l.store(loss);
    }

    /// Adds the chunks in order, then the lanes.
    pub(super) fn join(chunks: Vec<Self>, isa: Isa, n_parameters: usize) -> LossAndGradient {
        let mut chunks = chunks.into_iter();
        let mut total = chunks.next().unwrap_or_else(|| Self::new(n_parameters));
        for chunk in chunks {
            isa.run(AddAll(&mut total, &chunk));
        }
        let gradient = total.gradient.iter().map(Lane16::sum).collect();
        LossAndGradient { loss: f64::from(total.loss.sum()), gradient }
    }
}

struct AddAll<'a>(&'a mut Accumulator, &'a Accumulator);

impl Kernel for AddAll<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        self.0.loss = l.store(l.add(l.load(&self.0.loss), l.load(&self.1.loss)));
        for (sum, x) in self.0.gradient.iter_mut().zip(&self.1.gradient) {
            *sum = l.store(l.add(l.load(sum), l.load(x)));
        }
    }
}

/// Predictions prompt by prompt, `[n_prompts, d_s]`, from `[groups, d_s, 16]`.
pub(super) fn by_prompt(predictions: &[Lane16], n_prompts: usize, d_s: usize) -> Vec<f32> {
    let entry = |ps: usize| {
        let (p, s) = (ps / d_s, ps % d_s);
        predictions[p / LANES * d_s + s][p % LANES]
    };
    (0..n_prompts * d_s).map(entry).collect()
}
