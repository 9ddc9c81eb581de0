//! Prompts: demonstrations and a query whose label is masked, sampled sixteen at a time.
//!
//! Paper: `H = [H_D, H_T]`, tokens `h_i = [t_i; s_i]`, query token `h_q = [t_q; 0]`. Prompt `p` of a
//! stream is a pure function of `p`: it takes `d_s d_t` words for the entries of `W`, rounded up to an even number
//! (normals are Box-Muller pairs), and `(N + 1) d_t` words for uniform inputs, whatever the batch, the lanes or the
//! threads; normal inputs take `N + 1` times `d_t` words, rounded up to an even number. [`Labels`] other than the
//! task's own draw from a stream of theirs. Tasks may come from a finite pool instead; inputs are then the same.

mod batch;
mod labels;
mod pool;
mod sampler;
mod words;

pub use batch::PromptBatch;
pub use labels::{Labels, QueryLabel};
pub use sampler::{PromptSampler, Streams};

use crate::ModelError;
use std::borrow::Cow;

/// Sizes of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PromptShape {
    /// `N`, the number of demonstrations.
    pub n_demos: usize,
    /// Size of an input `t`.
    pub d_t: usize,
    /// Size of a target `s`.
    pub d_s: usize,
}

impl PromptShape {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a size is zero or beyond the limits below.
    pub fn new(n_demos: usize, d_t: usize, d_s: usize) -> Result<Self, ModelError> {
        for (field, size, limit) in
            [("n_demos", n_demos, MAX_DEMOS), ("d_t", d_t, MAX_D), ("d_s", d_s, MAX_D)]
        {
            if size == 0 || size > limit {
                return Err(ModelError::setting(field, size, format!("1 to {limit}")));
            }
        }
        Ok(Self { n_demos, d_t, d_s })
    }

    /// Token size `d = d_t + d_s`.
    pub fn d(&self) -> usize {
        self.d_t + self.d_s
    }

    /// Where the target stands in a token.
    pub fn label(&self) -> std::ops::Range<usize> {
        self.d_t..self.d()
    }

    /// Tokens of a prompt, `N + 1`.
    pub fn n_tokens(&self) -> usize {
        self.n_demos + 1
    }
}

/// Distribution of the entries of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inputs {
    /// `U(-1, 1)`. Paper gap: recollected, not confirmed by a source at hand.
    #[default]
    Uniform,
    /// `N(0, 1)`.
    Normal,
}

impl Inputs {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Distribution of the entries of a task's map `W`; all have mean 0 and variance 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MapEntries {
    /// `N(0, 1)`. Paper gap: recollected, not confirmed by a source at hand.
    #[default]
    Normal,
    /// `U(-sqrt(3), sqrt(3))`.
    Uniform,
    /// 1 or -1, each with probability one half.
    Signs,
    /// 0 with probability three quarters, else 2 or -2.
    Sparse,
}

impl MapEntries {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Groups of sixteen prompts that one thread takes at a time: their gradients are summed before chunks are.
pub const CHUNK: usize = 8;
/// Largest number of demonstrations.
pub const MAX_DEMOS: usize = 4096;
/// Largest input or target size.
pub const MAX_D: usize = 512;

/// Prompts by index: the same index gives the same prompt.
pub trait PromptSource: Send + Sync {
    /// The prompts `first .. first + n`; all of one shape.
    fn batch(&self, first: u64, n: usize) -> Cow<'_, PromptBatch>;

    /// The sampler behind the source, if it is one: a fused layer samples on the way.
    fn sampler(&self) -> Option<&PromptSampler> {
        None
    }
}

impl PromptSource for PromptSampler {
    fn batch(&self, first: u64, n: usize) -> Cow<'_, PromptBatch> {
        Cow::Owned(Self::batch(self, first, n))
    }

    fn sampler(&self) -> Option<&PromptSampler> {
        Some(self)
    }
}
