//! What is explained, and how.

use crate::error::{LensError, Result};
use dual_model::feature_map::{Choice, Estimate};
use icl_numerics::lanes::Isa;

/// Which tokens a query sees; padding comes with the tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Every token sees every token.
    None,
    /// Token i sees tokens 0 to i.
    Causal,
}

/// Precision of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Double.
    F64,
    /// Single; features are computed in double all the same.
    F32,
}

impl Precision {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
        }
    }
}

/// Whether attention weights and contributions of every pair of tokens are formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// Never.
    Never,
    /// If they are at most 2^22 numbers.
    IfSmall,
    /// Always.
    Always,
}

/// How a file holds a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// y = x Wᵀ: `w_q` or `q_proj.weight` or `query.weight`, rows of the heads one below the other.
    Linear,
    /// y = x W, fused: `c_attn.weight` `[d, 3 H d_h]`, as in GPT-2.
    Conv1d,
    /// y = x Wᵀ, fused: `in_proj_weight` `[3 H d_h, d]`, as in `torch.nn.MultiheadAttention`.
    InProj,
    /// One matrix a head: `W_Q` `[H, d, d_h]`, as in `TransformerLens`.
    PerHead,
    /// One square matrix a head, outputs summed: what `icl train` writes.
    Summed,
}

impl Layout {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Conv1d => "conv1d",
            Self::InProj => "in-proj",
            Self::PerHead => "per-head",
            Self::Summed => "summed",
        }
    }
}

/// Which dimensions of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryStyle {
    /// Dimension i with i plus half the size (Llama, GPT-NeoX).
    Half,
    /// Dimension 2 i with 2 i + 1 (GPT-J).
    Interleaved,
}

/// Most heads, and the largest size of one.
pub const MOST_HEADS: usize = 1 << 16;
/// Most features.
pub const MOST_FEATURES: usize = 1 << 16;
/// Most threads.
pub const MOST_THREADS: usize = 1024;

/// What is explained, and how; [`Options::default`] is plain attention of one head and its exact dual.
///
/// `icl lens` has a flag for every field.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How the file holds the layer; otherwise told by names and shapes.
    pub layout: Option<Layout>,
    /// The layer among several, for example `model.layers.3.self_attn`.
    pub prefix: Option<String>,
    /// Heads `H`; otherwise as the file says, or 1.
    pub heads: Option<usize>,
    /// Heads of keys and values, if fewer; otherwise told by shapes.
    pub kv_heads: Option<usize>,
    /// Size of a head, `d_h`; otherwise the rows of the queries over the heads.
    pub head_size: Option<usize>,
    /// Rotates queries and keys by their position, with this base, for example 10000.
    pub rotary: Option<f64>,
    /// Dimensions that are rotated together.
    pub rotary_style: RotaryStyle,
    /// What a query sees.
    pub mask: Mask,
    /// Demonstrations: the first so many tokens; otherwise all but the last.
    pub demos: Option<usize>,
    /// Kernel of the dual: coefficients on the keys, or a map whose features approximate it.
    pub kernel: Choice,
    /// Features `d_r`, unless the kernel is exact.
    pub d_r: usize,
    /// Seed of the features.
    pub seed: u64,
    /// Precision of both sides.
    pub precision: Precision,
    /// Threads; they change no number.
    pub threads: usize,
    /// Instruction set of the attention; it changes no number.
    pub isa: Isa,
    /// Whether weights and contributions of every pair of tokens are formed.
    pub pairs: Pairs,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            layout: None,
            prefix: None,
            heads: None,
            kv_heads: None,
            head_size: None,
            rotary: None,
            rotary_style: RotaryStyle::Half,
            mask: Mask::None,
            demos: None,
            kernel: Choice::default(),
            d_r: 1024,
            seed: 0,
            precision: Precision::F64,
            threads: 1,
            isa: Isa::Portable,
            pairs: Pairs::IfSmall,
        }
    }
}

impl Options {
    /// Whether the dual keeps coefficients on the keys, so that nothing is approximated.
    pub(crate) fn exact(&self) -> bool {
        self.kernel.entry().estimate == Estimate::Exact
    }

    /// Refuses numbers out of range.
    pub(crate) fn check(&self) -> Result<()> {
        for (option, found, most) in [
            ("--heads", self.heads.unwrap_or(1), MOST_HEADS),
            ("--kv-heads", self.kv_heads.unwrap_or(1), MOST_HEADS),
            ("--head-size", self.head_size.unwrap_or(1), MOST_HEADS),
            ("--d-r", self.d_r, MOST_FEATURES),
            ("--threads", self.threads, MOST_THREADS),
        ] {
            if !(1..=most).contains(&found) {
                let expected = format!("a whole number from 1 to {most}");
                return Err(LensError::refused(option, found.to_string(), expected, "correct it"));
            }
        }
        match self.rotary {
            Some(theta) if !(1.0..=1e12).contains(&theta) => Err(LensError::refused(
                "--rotary",
                theta.to_string(),
                "a number from 1 to 1e12",
                "correct it",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_by_their_option() {
        let good = Options::default;
        assert!(good().check().is_ok());
        for (options, part) in [
            (Options { heads: Some(0), ..good() }, "--heads: found 0"),
            (Options { head_size: Some(MOST_HEADS + 1), ..good() }, "--head-size: found 65537"),
            (Options { d_r: 0, ..good() }, "--d-r: found 0"),
            (Options { threads: 1025, ..good() }, "--threads: found 1025"),
            (Options { rotary: Some(f64::NAN), ..good() }, "--rotary: found NaN"),
            (Options { rotary: Some(0.5), ..good() }, "--rotary: found 0.5"),
        ] {
            let error = options.check().unwrap_err().to_string();
            assert!(error.starts_with(part) && error.contains("expected"), "{error}");
        }
    }
}
