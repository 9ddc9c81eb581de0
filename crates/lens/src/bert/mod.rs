//! The dual-model view of a whole BERT: every head of every layer, on sequences of word pieces.
//!
//! In a bidirectional encoder every token is the query side of itself and has all others as demonstrations. For head
//! `h` of a layer with the input `x`
//!
//! ```text
//! q_i, k_i = (W_Q x_i + b_Q, W_K x_i + b_K) / d_h^(1/4),     v_i = W_V x_i + b_V
//! h'_i = sum_j softmax_j(q_i . k_j) v_j                                             attention
//! W_0 = (1/D) v_i phi(k_i)^T,     W_1 = W_0 + (1/D) sum_{j != i} v_j phi(k_j)^T      the dual of token i
//! f_i = W_1 phi(q_i)                                                                is h'_i
//! ```
//!
//! The input of a layer is what our encoder computes from the real tokens, so both sides get the same numbers; from
//! there on they share nothing. `attention` is the side of candle's operations, `dual` that of `dual_model`;
//! `measure` compares them on one sequence, `report` over all.
//!
//! ```
//! use icl_lens::bert::{Encoder, Settings, explain};
//! use icl_model::attention;
//! use icl_model::bert::{BertConfig, Head, Sequence, variables};
//!
//! # fn main() -> Result<(), icl_lens::LensError> {
//! // a small model with random numbers; `Encoder::open` reads a pretrained one
//! let config = BertConfig {
//!     vocab_size: 10,
//!     hidden_size: 8,
//!     num_hidden_layers: 2,
//!     num_attention_heads: 2,
//!     intermediate_size: 16,
//!     ..BertConfig::default()
//! };
//! let specs = variables::specs(&config, Head::None, attention::parse("plain")?.as_ref());
//! let encoder = Encoder::new(config, variables::initialised(specs, 1))?;
//! let sequence = |ids: &[u32]| Sequence { ids: ids.to_vec(), segments: vec![0; ids.len()] };
//! let sequences = [sequence(&[1, 4, 7, 2]), sequence(&[1, 3, 2])];
//! let explained = explain(&encoder, &sequences, &Settings::default())?;
//! assert!(explained.holds());
//! for head in &explained.heads {
//!     assert!(head.relative_difference < 1e-12);
//!     println!("layer {} head {}: {:.2}", head.layer, head.head, head.share);
//! }
//! # Ok(())
//! # }
//! ```

mod arrays;
mod attention;
mod dual;
mod encoder;
mod measure;
mod report;

pub use encoder::Encoder;
pub use report::{Explained, HeadView, RELATIVE_ERROR};

use crate::error::{LensError, Result};
use crate::options::Precision;
use crate::tensor_file::BUDGET;
use arrays::Arrays;
use attention::Attention;
use candle_core::DType;
use dual::LayerMaps;
use dual_model::Real;
use icl_model::bert::{Batch, Sequence};
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use measure::Measured;

/// Sequences that are padded to one length and stand in memory together; a thread takes so many at a time.
const PART: usize = 8;

/// How a model is explained.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Precision of the encoder and of both sides.
    pub precision: Precision,
    /// Threads; they change no number.
    pub threads: Threads,
    /// Instruction set; it changes no number.
    pub isa: Isa,
    /// Whether inputs, attention and dual of every layer are kept for [`Explained::to_safetensors`].
    pub arrays: bool,
}

impl Default for Settings {
    /// In `f64`, on the caller's thread, without arrays.
    fn default() -> Self {
        let (threads, isa) = (Threads::One, Isa::Portable);
        Self { precision: Precision::F64, threads, isa, arrays: false }
    }
}

/// Compares attention and dual of every head on every sequence; padding is seen by no token and compared nowhere.
///
/// # Errors
/// [`LensError`] if there is no sequence, one is empty, longer than the model's positions or not of its word pieces,
/// or if the arrays would not fit into memory.
pub fn explain(
    encoder: &Encoder,
    sequences: &[Sequence],
    settings: &Settings,
) -> std::result::Result<Explained, LensError> {
    if sequences.is_empty() {
        return Err(LensError::refused("text", "no sequence", "at least one", "add one"));
    }
    affordable(encoder, sequences, settings)?;
    match settings.precision {
        Precision::F64 => compare::<f64>(encoder, sequences, settings, DType::F64),
        Precision::F32 => compare::<f32>(encoder, sequences, settings, DType::F32),
    }
}

/// What was found on some sequences.
struct Part {
    /// Of every layer and head, on every sequence: `[layers * heads][sequences]`.
    measured: Vec<Vec<Measured>>,
    arrays: Option<Arrays>,
}

fn compare<R: Real>(
    encoder: &Encoder,
    sequences: &[Sequence],
    settings: &Settings,
    dtype: DType,
) -> Result<Explained> {
    let attention = Attention::new(encoder, dtype, settings.isa)?;
    let parts: Vec<&[Sequence]> = sequences.chunks(PART).collect();
    let part = |(): &mut (), p: usize| part::<R>(encoder, &attention, parts[p], settings);
    let parts: Vec<Part> =
        settings.threads.map(parts.len(), || (), part).into_iter().collect::<Result<_>>()?;
    let config = encoder.config();
    let mut heads = Vec::new();
    for at in 0..config.num_hidden_layers * config.num_attention_heads {
        let measured = parts.iter().flat_map(|part| &part.measured[at]).collect::<Vec<_>>();
        heads.push(HeadView::new(config, at, &measured, settings.precision));
    }
    let arrays = parts.into_iter().map(|part| part.arrays).collect::<Option<Vec<_>>>();
    Ok(Explained {
        heads,
        sequences: sequences.len(),
        tokens: sequences.iter().map(|sequence| sequence.ids.len()).sum(),
        precision: settings.precision,
        arrays: arrays.map(Arrays::joined),
    })
}

/// All layers and heads on a padded batch of sequences.
fn part<R: Real>(
    encoder: &Encoder,
    attention: &Attention,
    sequences: &[Sequence],
    settings: &Settings,
) -> Result<Part> {
    let config = encoder.config();
    let (d, n_heads, size) = (config.hidden_size, config.num_attention_heads, config.head_size());
    let batch = Batch::new(config, &sequences.iter().collect::<Vec<_>>())?;
    let (lengths, n_tokens) = (batch.lengths(), batch.n_tokens);
    let mut part = Part { measured: Vec::new(), arrays: None };
    let mut arrays = Arrays::new(config, lengths.clone(), n_tokens);
    for (l, layer) in attention.layers(&batch)?.into_iter().enumerate() {
        let maps = LayerMaps::new(encoder, l)?;
        let mut dual = vec![0.0; layer.heads.len()];
        for h in 0..n_heads {
            let maps = maps.head::<R>(h, settings.isa)?;
            let one = |(s, n): (usize, &usize)| {
                let x = &layer.input[s * n_tokens * d..][..n * d];
                let place = (s * n_heads + h) * n_tokens * size;
                let place = place..place + n * size;
                let found = maps.explain(x)?;
                dual[place.clone()].copy_from_slice(&found.trained);
                Ok(Measured::new(&layer.heads[place], &found))
            };
            part.measured.push(lengths.iter().enumerate().map(one).collect::<Result<_>>()?);
        }
        if settings.arrays {
            arrays.push(layer, dual);
        }
    }
    part.arrays = settings.arrays.then_some(arrays);
    Ok(part)
}

/// Refuses arrays that would not fit into memory.
fn affordable(encoder: &Encoder, sequences: &[Sequence], settings: &Settings) -> Result<()> {
    let config = encoder.config();
    let longest = sequences.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
    // three arrays of `f64` by layer, and once more as the file's content
    let numbers = (sequences.len() * longest).saturating_mul(3 * config.hidden_size);
    let bytes = (numbers as u64).saturating_mul(16 * config.num_hidden_layers as u64);
    if settings.arrays && bytes > BUDGET {
        let found = format!("arrays of {bytes} bytes");
        let next = "leave it out or cut the text";
        return Err(LensError::refused("--out", found, format!("at most {BUDGET}"), next));
    }
    Ok(())
}
