//! A stack of Transformer layers as one hand-written pass over sixteen prompts at a time.
//!
//! `a = [x +] sum_heads h'`, `z = [a +] W_2 relu(W_1 a + b_1) + b_2` in every layer; every token is a
//! query but in the last layer, where only the query token is. The prediction is the s-part of the last
//! layer's `z`. The arithmetic, and with it the bits, depend as little on the machine as those of the
//! single layer: see [the module above](super).

mod attention;
mod feed_forward;

use super::accumulator::{self, Accumulator};
use super::weights::{HeadWeights, Offsets};
use super::{On, check_negatives};
use crate::ModelError;
use crate::attention::{Parameters, Terms};
use crate::objective::LossAndGradient;
use crate::prompt::{PromptBatch, PromptShape};
use attention::{AttentionScratch, Tokens};
use feed_forward::FeedForwardScratch;
use icl_numerics::lanes::{Kernel, Lane16, Lanes};

/// A stack ready for the fused pass: sizes, modification, offsets of the weights.
#[derive(Debug, Clone)]
pub struct FusedStack {
    d: usize,
    n_heads: usize,
    residual: bool,
    modification: Terms,
    offsets: Vec<(Offsets, feed_forward::Offsets)>,
    n_parameters: usize,
}

/// Sizes of a stack of Transformer layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StackShape {
    /// Token size.
    pub d: usize,
    /// Heads of a layer.
    pub n_heads: usize,
    /// Layers.
    pub layers: usize,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
}

impl FusedStack {
    /// A fused stack over the variables `<layer>.<name>` of `parameters`: `w_q`, `w_k`, `w_v`, the
    /// modification's, `w_1`, `b_1`, `w_2`, `b_2`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a variable is missing or there is no layer.
    pub fn new(
        shape: StackShape,
        modification: Terms,
        parameters: &Parameters,
    ) -> Result<Self, ModelError> {
        let StackShape { d, n_heads, layers, residual } = shape;
        if layers == 0 {
            return Err(ModelError::setting("layers", layers, "at least 1"));
        }
        let layer = |layer: usize| {
            let prefix = format!("{layer}.");
            let attention = Offsets::new(parameters, &prefix, &modification)?;
            Ok((attention, feed_forward::Offsets::new(parameters, &prefix)?))
        };
        let offsets = (0..layers).map(layer).collect::<Result<_, ModelError>>()?;
        let n_parameters = parameters.packed().len();
        Ok(Self { d, n_heads, residual, modification, offsets, n_parameters })
    }

    /// Predictions prompt by prompt, `[n_prompts, d_s]`.
    ///
    /// # Errors
    /// [`ModelError`] if the batch does not fit the stack.
    pub fn predict_rows(
        &self,
        on: On<'_>,
        parameters: &[f32],
        batch: &PromptBatch,
    ) -> Result<Vec<f32>, ModelError> {
        let step = Step::new(self, parameters, batch.shape)?;
        let n_groups = batch.n_groups();
        let predict = |scratch: &mut Vec<LayerScratch>, chunk: usize| {
            let mut out = Vec::new();
            for g in accumulator::groups(chunk, n_groups) {
                on.isa.run(Predict { step: &step, scratch, tokens: batch.group(g).0 });
                let last = scratch.last().map(|s| s.z.as_slice()).unwrap_or_default();
                out.extend_from_slice(&last[batch.shape.d_t..]);
            }
            out
        };
        let n_chunks = accumulator::n_chunks(n_groups);
        let chunks = on.threads.map(n_chunks, || step.scratch(), predict);
        Ok(accumulator::by_prompt(&chunks.concat(), batch.n_prompts, batch.shape.d_s))
    }

    /// Loss of a batch, averaged over its prompts, and its gradient.
    ///
    /// # Errors
    /// [`ModelError`] if the batch does not fit the stack.
    pub fn loss_and_gradient(
        &self,
        on: On<'_>,
        parameters: &[f32],
        batch: &PromptBatch,
    ) -> Result<LossAndGradient, ModelError> {
        let step = Step::new(self, parameters, batch.shape)?;
        let n_groups = batch.n_groups();
        let chunk = |scratch: &mut Vec<LayerScratch>, chunk: usize| {
            let mut sum = Accumulator::new(self.n_parameters);
            for g in accumulator::groups(chunk, n_groups) {
                let (tokens, targets) = batch.group(g);
                let weight = accumulator::lane_weights(g, batch.n_prompts);
                let (step, weight, sum) = (&step, &weight, &mut sum);
                on.isa.run(Train { step, scratch, tokens, targets, weight, sum });
            }
            sum
        };
        let n_chunks = accumulator::n_chunks(n_groups);
        let chunks = on.threads.map(n_chunks, || step.scratch(), chunk);
        Ok(Accumulator::join(chunks, on.isa, self.n_parameters))
    }
}

/// One pass with fixed parameters over prompts of one shape.
struct Step<'a> {
    stack: &'a FusedStack,
    parameters: &'a [f32],
    /// Heads, layer by layer.
    heads: Vec<Vec<HeadWeights<'a>>>,
    shape: PromptShape,
}

/// What the backward pass of one layer reads again.
struct LayerScratch {
    heads: Vec<AttentionScratch>,
    feed_forward: FeedForwardScratch,
    /// After attention, `[queries, d]`.
    a: Vec<Lane16>,
    /// After the layer, `[queries, d]`.
    z: Vec<Lane16>,
    d_a: Vec<Lane16>,
    d_z: Vec<Lane16>,
}

impl<'a> Step<'a> {
    fn new(
        stack: &'a FusedStack,
        parameters: &'a [f32],
        shape: PromptShape,
    ) -> Result<Self, ModelError> {
        assert_eq!(parameters.len(), stack.n_parameters, "packed parameters");
        if shape.d() != stack.d {
            return Err(ModelError::setting("token size", shape.d(), stack.d.to_string()));
        }
        check_negatives(&stack.modification, shape.n_demos)?;
        let layer = |(offsets, _): &(Offsets, feed_forward::Offsets)| {
            let head = |h| HeadWeights::new(offsets, &stack.modification, stack.d, parameters, h);
            (0..stack.n_heads).map(head).collect()
        };
        Ok(Self { stack, parameters, heads: stack.offsets.iter().map(layer).collect(), shape })
    }

    fn scratch(&self) -> Vec<LayerScratch> {
        let (n, d) = (self.shape.n_demos, self.stack.d);
        let layers = self.stack.offsets.len();
        let layer = |(i, (_, offsets)): (usize, &(Offsets, feed_forward::Offsets))| {
            let queries = if i + 1 == layers { 1 } else { n + 1 };
            let rows = || vec![Lane16::ZERO; queries * d];
            let head = |_| AttentionScratch::new(self.stack, n, queries);
            LayerScratch {
                heads: (0..self.stack.n_heads).map(head).collect(),
                feed_forward: FeedForwardScratch::new(queries, offsets.d_ff()),
                a: rows(),
                z: rows(),
                d_a: rows(),
                d_z: rows(),
            }
        };
        self.stack.offsets.iter().enumerate().map(layer).collect()
    }

    /// All layers; the predictions stand in the last layer's `z`.
    #[inline(always)]
    fn forward<L: Lanes>(&self, l: L, scratch: &mut [LayerScratch], tokens: &[Lane16]) {
        let (stack, d) = (self.stack, self.stack.d);
        let mut before: &[Lane16] = tokens;
        for ((s, (_, offsets)), heads) in scratch.iter_mut().zip(&stack.offsets).zip(&self.heads) {
            start(&mut s.a, before, stack.residual);
            for (w, head) in heads.iter().zip(&mut s.heads) {
                attention::forward(l, &stack.modification, w, head, before, &mut s.a, d);
            }
            start(&mut s.z, &s.a, stack.residual);
            feed_forward::forward(l, self.parameters, offsets, &mut s.feed_forward, &s.a, &mut s.z);
            before = &s.z;
        }
    }

    /// Adds the gradients of all weights for the `d_z` of the last layer.
    #[inline(always)]
    fn backward<L: Lanes>(
        &self,
        l: L,
        scratch: &mut [LayerScratch],
        tokens: &[Lane16],
        gradient: &mut [Lane16],
    ) {
        let (stack, d) = (self.stack, self.stack.d);
        for i in (0..scratch.len()).rev() {
            let (before, rest) = scratch.split_at_mut(i);
            let (s, (offsets, feed_forward_places)) = (&mut rest[0], &stack.offsets[i]);
            start(&mut s.d_a, &s.d_z, stack.residual);
            let weights = (self.parameters, feed_forward_places);
            let (a, d_z, d_a) = (&s.a, &s.d_z, &mut s.d_a);
            feed_forward::backward(l, weights, &mut s.feed_forward, a, d_z, d_a, gradient);
            let mut inputs = match before.last_mut() {
                Some(before) => {
                    start_gradient(&mut before.d_z, &s.d_a, stack.residual);
                    Tokens { rows: &before.z, gradient: Some(&mut before.d_z), d }
                }
                None => Tokens { rows: tokens, gradient: None, d },
            };
            for (w, head) in self.heads[i].iter().zip(&mut s.heads) {
                let kind = (&stack.modification, offsets);
                attention::backward(l, kind, w, head, &mut inputs, &s.d_a, gradient);
            }
        }
    }
}

/// Begins a sum: with the last rows of `x` on a residual path, with zero elsewhere.
fn start(y: &mut [Lane16], x: &[Lane16], residual: bool) {
    if residual {
        y.copy_from_slice(&x[x.len() - y.len()..]);
    } else {
        y.fill(Lane16::ZERO);
    }
}

/// Begins the gradient towards all tokens of a layer of which the last `d_a` were queries.
fn start_gradient(d_tokens: &mut [Lane16], d_a: &[Lane16], residual: bool) {
    d_tokens.fill(Lane16::ZERO);
    if residual {
        let first = d_tokens.len() - d_a.len();
        d_tokens[first..].copy_from_slice(d_a);
    }
}

struct Predict<'a> {
    step: &'a Step<'a>,
    scratch: &'a mut [LayerScratch],
    tokens: &'a [Lane16],
}

impl Kernel for Predict<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        self.step.forward(l, self.scratch, self.tokens);
    }
}

struct Train<'a> {
    step: &'a Step<'a>,
    scratch: &'a mut [LayerScratch],
    tokens: &'a [Lane16],
    targets: &'a [Lane16],
    weight: &'a Lane16,
    sum: &'a mut Accumulator,
}

impl Kernel for Train<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        self.step.forward(l, self.scratch, self.tokens);
        let Some(last) = self.scratch.last_mut() else { return };
        let d_t = self.step.shape.d_t;
        last.d_z.copy_from_slice(&last.z);
        last.d_z[..d_t].fill(Lane16::ZERO);
        self.sum.add_loss(l, &mut last.d_z[d_t..], self.targets, self.weight);
        self.step.backward(l, self.scratch, self.tokens, &mut self.sum.gradient);
    }
}
