//! The arguments of `icl lens`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Masks of a user's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LensMask {
    /// Every token sees every token
    None,
    /// Token i sees tokens 0 to i
    Causal,
}

/// Precisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LensDtype {
    /// Double
    F64,
    /// Single
    F32,
}

/// The dual's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LensFeatureMap {
    /// Coefficients on the keys, no features
    Exact,
    /// Positive random features
    Positive,
    /// Positive features in antithetic pairs
    Hyperbolic,
    /// Positive features with orthogonal rows
    Orthogonal,
    /// Cosines and sines
    Trigonometric,
    /// Positive features with tuned damping
    #[value(name = "favor++")]
    FavorPlusPlus,
    /// Monomials up to the order that fits
    Taylor,
}

impl LensFeatureMap {
    /// Name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Positive => "positive",
            Self::Hyperbolic => "hyperbolic",
            Self::Orthogonal => "orthogonal",
            Self::Trigonometric => "trigonometric",
            Self::FavorPlusPlus => "favor++",
            Self::Taylor => "taylor",
        }
    }
}

/// How a file holds a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// y = x Wᵀ: `w_q` or `q_proj.weight` or `query.weight`, rows of the heads one below the other
    Linear,
    /// y = x W, fused: `c_attn.weight` `[d, 3 H d_h]`, as in GPT-2
    Conv1d,
    /// y = x Wᵀ, fused: `in_proj_weight` `[3 H d_h, d]`, as in `torch.nn.MultiheadAttention`
    InProj,
    /// One matrix a head: `W_Q` `[H, d, d_h]`, as in `TransformerLens`
    PerHead,
    /// One square matrix a head, outputs summed: what `icl train` writes
    Summed,
}

impl Layout {
    /// Name on the command line.
    pub(crate) fn name(self) -> &'static str {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RotaryStyle {
    /// Dimension i with i plus half the size (Llama, GPT-NeoX)
    Half,
    /// Dimension 2 i with 2 i + 1 (GPT-J)
    Interleaved,
}

/// A whole number from `LOW` to `HIGH`.
fn whole<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (LOW..=HIGH).contains(&n) => Ok(n),
        _ => Err(format!("expected a whole number from {LOW} to {HIGH}")),
    }
}

/// The base of rotary frequencies.
fn theta(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(theta) if (1.0..=1e12).contains(&theta) => Ok(theta),
        _ => Err("expected a number from 1 to 1e12, for example 10000".into()),
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct LensArguments {
    /// safetensors with `tokens`, T x d or B x T x d, and optionally `attention_mask` or `lengths`
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: PathBuf,
    /// safetensors with the weights of the layer, f64, f32, bf16 or f16
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: PathBuf,
    /// How the file holds the layer; otherwise told by names and shapes
    #[arg(long, value_enum)]
    pub(crate) layout: Option<Layout>,
    /// The layer among several, for example `model.layers.3.self_attn`
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Heads; otherwise as the file says, or 1
    #[arg(long, value_parser = whole::<1, 65_536>)]
    pub(crate) heads: Option<usize>,
    /// Heads of keys and values, if fewer; otherwise told by shapes
    #[arg(long, value_parser = whole::<1, 65_536>)]
    pub(crate) kv_heads: Option<usize>,
    /// Size of a head; otherwise the rows of the queries over the heads
    #[arg(long, value_parser = whole::<1, 65_536>)]
    pub(crate) head_size: Option<usize>,
    /// Rotate queries and keys by their position, with this base, for example 10000
    #[arg(long, value_name = "THETA", value_parser = theta)]
    pub(crate) rotary: Option<f64>,
    /// Dimensions that are rotated together
    #[arg(long, value_enum, default_value = "half")]
    pub(crate) rotary_style: RotaryStyle,
    /// Mask; padding comes from the tokens' file
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) mask: LensMask,
    /// Demonstrations: the first so many tokens; otherwise all but the last
    #[arg(long, value_parser = whole::<0, 16_777_216>)]
    pub(crate) demos: Option<usize>,
    /// Kernel of the dual
    #[arg(long, value_enum, default_value = "exact")]
    pub(crate) feature_map: LensFeatureMap,
    /// Features
    #[arg(long, default_value = "1024", value_parser = whole::<1, 65_536>)]
    pub(crate) d_r: usize,
    /// Seed of the features
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Precision
    #[arg(long, value_enum, default_value = "f64")]
    pub(crate) dtype: LensDtype,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = whole::<1, 1024>)]
    pub(crate) threads: Option<usize>,
    /// Where `attention` and `dual` go, and, if small, `attention_weights` and `contributions`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write `attention_weights` and `contributions` however large
    #[arg(long, requires = "out")]
    pub(crate) contributions: bool,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}
