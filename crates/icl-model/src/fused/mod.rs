//! The attention layer as one hand-written pass over sixteen prompts at a time.
//!
//! Sixteen prompts stand side by side in the lanes of `icl_numerics::lanes`; no operation crosses
//! lanes, so the arithmetic of a prompt is one fixed sequence of IEEE operations whatever the
//! instruction set. Only the query token is a query, and only the s-part of `h'_q` is computed: that
//! is all the loss reads. Per group everything stays in the cache; weight gradients are summed per
//! chunk of [`CHUNK`](crate::prompt::CHUNK) groups, the chunks in order, and the lanes last, so the bits do not depend on
//! the number of threads either.
//!
//! Plain softmax heads never form keys or values: with `u = W_K^T q` the scores are `u . h_j`, and
//! with `z = sum_j p_j h_j` the output is `W_V z`. That is the same function in fewer operations
//! (ARCHITECTURE.md counts them).
//!
//! Limits: `d <= 512`, `N <= 4096`, `d_r <= 65536`. With features, `omega . k - |k|^2/2` is clamped to
//! `[-87, 88]` after the shift by the smallest `|k|^2/2`; queries are shifted by their maximum.

mod accumulator;
mod augmentation;
mod features;
mod head;
mod linear;
mod linear_stack;
mod negatives;
mod stack;
mod weights;

pub use linear_stack::FusedLinearStack;
pub use stack::{FusedStack, StackShape};

use crate::ModelError;
use crate::attention::{Parameters, Terms};
use crate::kernel::{AttentionKernel, Kernel as AttentionKind};
use crate::objective::LossAndGradient;
use crate::prompt::{PromptBatch, PromptSampler, PromptShape};
use accumulator::Accumulator;
use head::HeadScratch;
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use icl_numerics::threads::Threads;
use weights::{HeadWeights, Offsets};

/// Largest number of random features.
pub const MAX_FEATURES: usize = 65_536;

/// A layer ready for the fused pass: sizes, modification, kernel, place of the weights.
#[derive(Debug, Clone)]
pub struct FusedLayer {
    shape: PromptShape,
    n_heads: usize,
    modification: Terms,
    kernel: AttentionKernel,
    /// The feature rows times `log2(e)`, empty without features.
    scaled_omegas: Vec<f32>,
    offsets: Offsets,
    n_parameters: usize,
}

impl FusedLayer {
    /// A fused layer for prompts of `shape` and parameters laid out like `parameters`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a size is beyond the limits or `m` negatives do not exist.
    pub fn new(
        shape: PromptShape,
        n_heads: usize,
        modification: Terms,
        kernel: AttentionKernel,
        parameters: &Parameters,
    ) -> Result<Self, ModelError> {
        check_negatives(&modification, shape.n_demos)?;
        let mut scaled_omegas = Vec::new();
        if let AttentionKind::Positive(omegas) = &kernel {
            let d_r = omegas.d_r();
            if d_r == 0 || d_r > MAX_FEATURES || omegas.d() != shape.d() {
                let found = format!("{d_r} rows of {}", omegas.d());
                let expected = format!("1 to {MAX_FEATURES} rows of {}", shape.d());
                return Err(ModelError::setting("d_r", found, expected));
            }
            scaled_omegas = omegas.to_f32().iter().map(|w| w * std::f32::consts::LOG2_E).collect();
        }
        let offsets = Offsets::new(parameters, "", &modification)?;
        let n_parameters = parameters.packed().len();
        Ok(Self { shape, n_heads, modification, kernel, scaled_omegas, offsets, n_parameters })
    }

    /// The feature rows times `log2(e)`, `[d_r, d]`, as exponents to base 2 are formed; empty without features.
    pub fn scaled_omegas(&self) -> &[f32] {
        &self.scaled_omegas
    }

    /// Predictions `[groups, d_s, 16]` for a batch.
    pub fn predict(&self, on: On<'_>, parameters: &[f32], batch: &PromptBatch) -> Vec<Lane16> {
        let step = Step::new(self, on.isa, parameters);
        let n_groups = batch.n_groups();
        let predict = |scratch: &mut Vec<HeadScratch>, chunk: usize| {
            let groups = accumulator::groups(chunk, n_groups);
            groups.flat_map(|g| step.predict(scratch, batch.group(g).0)).collect::<Vec<_>>()
        };
        let n_chunks = accumulator::n_chunks(n_groups);
        on.threads.map(n_chunks, || step.scratch(false), predict).concat()
    }

    /// Predictions prompt by prompt, `[n_prompts, d_s]`.
    pub fn predict_rows(&self, on: On<'_>, parameters: &[f32], batch: &PromptBatch) -> Vec<f32> {
        let lanes = self.predict(on, parameters, batch);
        accumulator::by_prompt(&lanes, batch.n_prompts, self.shape.d_s)
    }

    /// Loss of a batch, averaged over its prompts, and the gradient, packed like `parameters` `[n_parameters]`.
    pub fn loss_and_gradient(
        &self,
        on: On<'_>,
        parameters: &[f32],
        batch: &PromptBatch,
    ) -> LossAndGradient {
        let step = Step::new(self, on.isa, parameters);
        let n = batch.n_prompts;
        self.accumulated(
            on,
            n,
            || step.scratch(true),
            |scratch, g, sum| {
                let (tokens, targets) = batch.group(g);
                step.train(scratch, tokens, targets, &accumulator::lane_weights(g, n), sum);
            },
        )
    }

    /// As [`Self::loss_and_gradient`], for the prompts `first .. first + n` of a stream, sampled on the way; `first`
    /// is rounded down to a multiple of 16.
    pub fn sampled_gradient(
        &self,
        on: On<'_>,
        parameters: &[f32],
        sampler: &PromptSampler,
        first: u64,
        n: usize,
    ) -> LossAndGradient {
        let step = Step::new(self, on.isa, parameters);
        let buffers = || {
            let tokens = vec![Lane16::ZERO; self.shape.n_tokens() * self.shape.d()];
            (step.scratch(true), tokens, vec![Lane16::ZERO; self.shape.d_s])
        };
        self.accumulated(on, n, buffers, |(scratch, tokens, targets), g, sum| {
            sampler.sample_group(first / LANES as u64 + g as u64, tokens, targets);
            step.train(scratch, tokens, targets, &accumulator::lane_weights(g, n), sum);
        })
    }

    /// Adds up all groups of `n` prompts, chunk by chunk.
    fn accumulated<S>(
        &self,
        on: On<'_>,
        n: usize,
        buffers: impl Fn() -> S + Sync + Send,
        add_group: impl Fn(&mut S, usize, &mut Accumulator) + Sync + Send,
    ) -> LossAndGradient {
        let n_groups = n.div_ceil(LANES);
        let chunk = |own: &mut S, chunk: usize| {
            let mut sum = Accumulator::new(self.n_parameters);
            accumulator::groups(chunk, n_groups).for_each(|g| add_group(own, g, &mut sum));
            sum
        };
        let chunks = on.threads.map(accumulator::n_chunks(n_groups), buffers, chunk);
        Accumulator::join(chunks, on.isa, self.n_parameters)
    }
}

/// How the lanes are computed: none of it changes a bit.
#[derive(Debug, Clone, Copy)]
pub struct On<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// Threads, one chunk of prompts each.
    pub threads: &'a Threads,
}

/// `m` negatives exist only among more than `m` demonstrations.
fn check_negatives(modification: &Terms, n_demos: usize) -> Result<(), ModelError> {
    match modification.negatives {
        Some(negatives) => crate::attention::check_count(negatives.count(n_demos), n_demos),
        None => Ok(()),
    }
}

/// One pass with fixed parameters.
struct Step<'a> {
    layer: &'a FusedLayer,
    isa: Isa,
    heads: Vec<HeadWeights<'a>>,
}

impl<'a> Step<'a> {
    fn new(layer: &'a FusedLayer, isa: Isa, parameters: &'a [f32]) -> Self {
        assert_eq!(parameters.len(), layer.n_parameters, "packed parameters");
        let (offsets, modification, d) = (&layer.offsets, &layer.modification, layer.shape.d());
        let head = |h| HeadWeights::new(offsets, modification, d, parameters, h);
        Self { layer, isa, heads: (0..layer.n_heads).map(head).collect() }
    }

    fn scratch(&self, with_gradient: bool) -> Vec<HeadScratch> {
        self.heads.iter().map(|_| HeadScratch::new(self.layer, with_gradient)).collect()
    }

    fn predict(&self, scratch: &mut [HeadScratch], tokens: &[Lane16]) -> Vec<Lane16> {
        self.isa.run(Predict { step: self, scratch, tokens })
    }

    fn train(
        &self,
        scratch: &mut [HeadScratch],
        tokens: &[Lane16],
        targets: &[Lane16],
        weight: &Lane16,
        sum: &mut Accumulator,
    ) {
        self.isa.run(Train { step: self, scratch, tokens, targets, weight, sum });
    }
}

/// Forward pass of all heads: the sum of their outputs.
#[inline(always)]
fn forward<L: Lanes>(
    l: L,
    step: &Step<'_>,
    scratch: &mut [HeadScratch],
    tokens: &[Lane16],
) -> Vec<Lane16> {
    let mut out = vec![Lane16::ZERO; step.layer.shape.d_s];
    for (weights, scratch) in step.heads.iter().zip(scratch) {
        head::forward(l, step.layer, weights, scratch, tokens, &mut out);
    }
    out
}

struct Predict<'a> {
    step: &'a Step<'a>,
    scratch: &'a mut [HeadScratch],
    tokens: &'a [Lane16],
}

impl Kernel for Predict<'_> {
    type Output = Vec<Lane16>;
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Vec<Lane16> {
        forward(l, self.step, self.scratch, self.tokens)
    }
}

struct Train<'a> {
    step: &'a Step<'a>,
    scratch: &'a mut [HeadScratch],
    tokens: &'a [Lane16],
    targets: &'a [Lane16],
    weight: &'a Lane16,
    sum: &'a mut Accumulator,
}

impl Kernel for Train<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut d_out = forward(l, self.step, self.scratch, self.tokens);
        self.sum.add_loss(l, &mut d_out, self.targets, self.weight);
        backward(l, self.step, self.scratch, self.tokens, &d_out, &mut self.sum.gradient);
    }
}

#[inline(always)]
fn backward<L: Lanes>(
    l: L,
    step: &Step<'_>,
    scratch: &mut [HeadScratch],
    tokens: &[Lane16],
    d_out: &[Lane16],
    gradient: &mut [Lane16],
) {
    for (weights, scratch) in step.heads.iter().zip(scratch) {
        head::backward(l, step.layer, weights, scratch, tokens, d_out, gradient);
    }
}
