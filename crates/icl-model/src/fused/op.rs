//! The fused layer as a candle operation: `(tokens, packed parameters) -> query outputs`.
//!
//! The gradient towards the parameters is the fused backward pass; the tokens are data and receive
//! none, so candle does not compute one.

use super::accumulator::{self, Accumulator};
use super::{FusedLayer, Step};
use crate::ModelError;
use crate::prompt::{PromptBatch, PromptShape};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use icl_numerics::lanes::{Isa, LANES, Lane16};
use rayon::prelude::*;
use std::sync::Arc;

/// A fused layer that candle can differentiate.
#[derive(Debug, Clone)]
pub struct FusedAttention {
    layer: Arc<FusedLayer>,
    isa: Isa,
}

impl FusedAttention {
    /// Wraps a layer.
    pub fn new(layer: FusedLayer, isa: Isa) -> Self {
        Self { layer: Arc::new(layer), isa }
    }

    /// s-part of `h'_q`, `[batch, d_s]`, for tokens `[batch, n_tokens, d]` and packed parameters, `f32`.
    ///
    /// # Errors
    /// If shapes or dtypes do not fit.
    pub fn forward(
        &self,
        tokens: &Tensor,
        packed: &Tensor,
    ) -> std::result::Result<Tensor, ModelError> {
        Ok(tokens.contiguous()?.apply_op2(&packed.contiguous()?, self.clone())?)
    }

    fn batch(&self, storage: &CpuStorage, layout: &Layout) -> Result<PromptBatch> {
        let shape = self.layer.shape;
        let (n_prompts, n_tokens, d) = layout.shape().dims3()?;
        if (n_tokens, d) != (shape.n_tokens(), shape.d()) {
            bail!(
                "tokens: found [{n_tokens}, {d}], expected [{}, {}]",
                shape.n_tokens(),
                shape.d()
            );
        }
        Ok(to_lanes(slice(storage, layout)?, n_prompts, shape))
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("input not contiguous") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Row-major prompts in lane order; lanes beyond the last prompt repeat it.
fn to_lanes(rows: &[f32], n_prompts: usize, shape: PromptShape) -> PromptBatch {
    let size = shape.n_tokens() * shape.d();
    let groups = n_prompts.div_ceil(LANES);
    let lane =
        |g: usize, i: usize, lane: usize| rows[(g * LANES + lane).min(n_prompts - 1) * size + i];
    let entry = |gi: usize| Lane16(std::array::from_fn(|l| lane(gi / size, gi % size, l)));
    PromptBatch {
        shape,
        n_prompts,
        tokens: (0..groups * size).map(entry).collect(),
        targets: vec![Lane16::ZERO; groups * shape.d_s],
    }
}

impl CustomOp2 for FusedAttention {
    fn name(&self) -> &'static str {
        "fused-attention"
    }

    fn cpu_fwd(
        &self,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
        packed: &CpuStorage,
        packed_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let batch = self.batch(tokens, tokens_layout)?;
        let lanes = self.layer.predict(self.isa, slice(packed, packed_layout)?, &batch);
        let d_s = self.layer.shape.d_s;
        let out = accumulator::by_prompt(&lanes, batch.n_prompts, d_s);
        Ok((CpuStorage::F32(out), (batch.n_prompts, d_s).into()))
    }

    fn bwd(
        &self,
        tokens: &Tensor,
        packed: &Tensor,
        _out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let shape = self.layer.shape;
        let rows: Vec<f32> = tokens.flatten_all()?.to_vec1()?;
        let batch = to_lanes(&rows, tokens.dim(0)?, shape);
        let d_out: Vec<f32> = d_out.contiguous()?.flatten_all()?.to_vec1()?;
        let parameters: Vec<f32> = packed.to_vec1()?;
        let step = Step::new(&self.layer, self.isa, &parameters);
        let n_groups = batch.n_groups();
        let chunk = |chunk: usize| {
            let mut sum = Accumulator::new(self.layer.n_parameters);
            let mut scratch = step.scratch(true);
            for g in accumulator::groups(chunk, n_groups) {
                let lanes = group_gradient(&d_out, g, shape.d_s);
                step.pull_back(&mut scratch, batch.group(g).0, &lanes, &mut sum.gradient);
            }
            sum
        };
        let chunks: Vec<_> =
            (0..accumulator::n_chunks(n_groups)).into_par_iter().map(chunk).collect();
        let gradient = Accumulator::join(chunks, self.isa, self.layer.n_parameters).gradient;
        Ok((None, Some(Tensor::from_vec(gradient, packed.shape(), packed.device())?)))
    }
}

/// Gradients towards the outputs of group `g`, 0 in lanes without a prompt.
fn group_gradient(d_out: &[f32], g: usize, d_s: usize) -> Vec<Lane16> {
    let at =
        |lane: usize, s: usize| d_out.get((g * LANES + lane) * d_s + s).copied().unwrap_or(0.0);
    (0..d_s).map(|s| Lane16(std::array::from_fn(|lane| at(lane, s)))).collect()
}
