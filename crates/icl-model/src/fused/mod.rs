//! The attention layer as one hand-written pass over sixteen prompts at a time.
//!
//! Sixteen prompts stand side by side in the lanes of `icl_numerics::lanes`; no operation crosses
//! lanes, so the arithmetic of a prompt is one fixed sequence of IEEE operations whatever the
//! instruction set. Only the query token is a query, and only the s-part of `h'_q` is computed: that
//! is all the loss reads. Per group everything stays in the cache; weight gradients are summed per
//! chunk of [`CHUNK`] groups, the chunks in order, and the lanes last, so the bits do not depend on
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
mod negatives;
mod op;
mod stack;
mod weights;

pub use accumulator::CHUNK;
pub use op::FusedAttention;
pub use stack::{FusedStack, StackShape};

use crate::ModelError;
use crate::attention::{FusedModification, Parameters};
use crate::prompt::{PromptBatch, PromptSampler, PromptShape};
use accumulator::Accumulator;
use head::HeadScratch;
use icl_numerics::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use rayon::prelude::*;
use weights::{HeadWeights, Places};

/// Largest number of random features.
pub const MAX_FEATURES: usize = 65_536;

/// The kernel `K(k, q)`.
#[derive(Debug, Clone, PartialEq)]
pub enum FusedKernel {
    /// `exp(k . q)`.
    Softmax,
    /// `exp(k . q)` over the demonstrations; the query token has no weight.
    SoftmaxWithoutQuery,
    /// `k . q / N` over the demonstrations, not normalised; the query token has no weight.
    Linear,
    /// Positive random features; `[d_r, d]`, row by row.
    Positive(Vec<f32>),
}

/// A layer ready for the fused pass: sizes, modification, kernel, place of the weights.
#[derive(Debug, Clone)]
pub struct FusedLayer {
    shape: PromptShape,
    n_heads: usize,
    modification: FusedModification,
    kernel: FusedKernel,
    /// The feature rows times `log2(e)`, empty without features.
    scaled_omegas: Vec<f32>,
    places: Places,
    n_parameters: usize,
}

/// Loss and gradient of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LossAndGradient {
    /// `1/2 |prediction - s|^2`, averaged over prompts.
    pub loss: f64,
    /// Its gradient, packed like the parameters.
    pub gradient: Vec<f32>,
}

impl FusedLayer {
    /// A fused layer for prompts of `shape` and parameters laid out like `parameters`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a size is beyond the limits or `m` negatives do not exist.
    pub fn new(
        shape: PromptShape,
        n_heads: usize,
        modification: FusedModification,
        kernel: FusedKernel,
        parameters: &Parameters,
    ) -> Result<Self, ModelError> {
        check_negatives(&modification, shape.n_demos)?;
        if let FusedKernel::Positive(omegas) = &kernel {
            let d_r = omegas.len() / shape.d();
            if d_r == 0 || d_r > MAX_FEATURES || omegas.len() != d_r * shape.d() {
                let expected = format!("1 to {MAX_FEATURES} rows of {}", shape.d());
                return Err(ModelError::setting("d_r", omegas.len(), expected));
            }
        }
        let places = Places::new(parameters, "", &modification)?;
        let n_parameters = parameters.packed().len();
        let scaled_omegas = match &kernel {
            FusedKernel::Positive(omegas) => {
                omegas.iter().map(|w| w * std::f32::consts::LOG2_E).collect()
            }
            _ => Vec::new(),
        };
        Ok(Self { shape, n_heads, modification, kernel, scaled_omegas, places, n_parameters })
    }

    /// Predictions `[groups, d_s, 16]` for a batch.
    pub fn predict(&self, isa: Isa, parameters: &[f32], batch: &PromptBatch) -> Vec<Lane16> {
        let step = Step::new(self, isa, parameters);
        let n_groups = batch.n_groups();
        let predict = |scratch: &mut Vec<HeadScratch>, chunk: usize| {
            let groups = accumulator::groups(chunk, n_groups);
            groups.flat_map(|g| step.predict(scratch, batch.group(g).0)).collect::<Vec<_>>()
        };
        let chunks: Vec<_> = (0..accumulator::n_chunks(n_groups))
            .into_par_iter()
            .map_init(|| step.scratch(false), predict)
            .collect();
        chunks.concat()
    }

    /// Predictions prompt by prompt, `[n_prompts, d_s]`.
    pub fn predict_rows(&self, isa: Isa, parameters: &[f32], batch: &PromptBatch) -> Vec<f32> {
        let lanes = self.predict(isa, parameters, batch);
        accumulator::by_prompt(&lanes, batch.n_prompts, self.shape.d_s)
    }

    /// `1/2 |prediction - s|^2`, averaged over the prompts of a batch.
    pub fn loss(&self, isa: Isa, parameters: &[f32], batch: &PromptBatch) -> f64 {
        accumulator::mean_loss(&self.predict(isa, parameters, batch), batch)
    }

    /// Loss and gradient of the prompts `first .. first + n` of a stream, sampled on the way.
    pub fn loss_and_gradient(
        &self,
        isa: Isa,
        parameters: &[f32],
        sampler: &PromptSampler,
        first: u64,
        n: usize,
    ) -> LossAndGradient {
        let step = Step::new(self, isa, parameters);
        let n_groups = n.div_ceil(LANES);
        let buffers = || {
            let tokens = vec![Lane16::ZERO; self.shape.n_tokens() * self.shape.d()];
            (step.scratch(true), tokens, vec![Lane16::ZERO; self.shape.d_s])
        };
        let chunk = |(scratch, tokens, targets): &mut (Vec<HeadScratch>, Vec<_>, Vec<_>),
                     chunk: usize| {
            let mut sum = Accumulator::new(self.n_parameters);
            for g in accumulator::groups(chunk, n_groups) {
                sampler.sample_group(first / LANES as u64 + g as u64, tokens, targets);
                let weight = accumulator::lane_weights(g, n);
                step.train(scratch, tokens, targets, &weight, &mut sum);
            }
            sum
        };
        let chunks: Vec<_> =
            (0..accumulator::n_chunks(n_groups)).into_par_iter().map_init(buffers, chunk).collect();
        Accumulator::join(chunks, isa, self.n_parameters)
    }
}

/// `m` negatives exist only among more than `m` demonstrations.
fn check_negatives(modification: &FusedModification, n_demos: usize) -> Result<(), ModelError> {
    match modification.negatives {
        Some((m, _)) => crate::attention::check_count(m, n_demos),
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
        let (places, modification, d) = (&layer.places, &layer.modification, layer.shape.d());
        let head = |h| HeadWeights::new(places, modification, d, parameters, h);
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

    /// Gradient of `sum_s d_out_s prediction_s` added to `gradient`.
    fn pull_back(
        &self,
        scratch: &mut [HeadScratch],
        tokens: &[Lane16],
        d_out: &[Lane16],
        gradient: &mut [Lane16],
    ) {
        self.isa.run(PullBack { step: self, scratch, tokens, d_out, gradient });
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

struct PullBack<'a> {
    step: &'a Step<'a>,
    scratch: &'a mut [HeadScratch],
    tokens: &'a [Lane16],
    d_out: &'a [Lane16],
    gradient: &'a mut [Lane16],
}

impl Kernel for PullBack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        forward(l, self.step, self.scratch, self.tokens);
        backward(l, self.step, self.scratch, self.tokens, self.d_out, self.gradient);
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
