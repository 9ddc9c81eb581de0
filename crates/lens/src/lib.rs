//! The dual-model view of a user's own attention layer.
//!
//! Attention's output for a query is the test prediction of a dual model after one gradient step on the tokens
//! that the query sees. This crate reads a layer in the layouts of several libraries and tokens from
//! safetensors, computes both sides independently of each other, and compares them:
//!
//! ```
//! use icl_lens::{Mask, Options, TensorFile, explain};
//!
//! # fn main() -> Result<(), icl_lens::LensError> {
//! // four tokens of size 2, and a layer in PyTorch's convention, y = x Wᵀ
//! let tokens = TensorFile::from_arrays(
//!     "tokens",
//!     &[("tokens", &[4, 2], &[0.3, -0.1, 0.8, 0.4, -0.5, 0.2, 0.1, 0.9])],
//! )?;
//! let weights = TensorFile::from_arrays(
//!     "weights",
//!     &[
//!         ("w_q", &[2, 2], &[1.0, 0.5, -0.3, 0.8]),
//!         ("w_k", &[2, 2], &[0.2, 0.9, 0.7, -0.4]),
//!         ("w_v", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
//!     ],
//! )?;
//! let options = Options { mask: Mask::Causal, ..Options::default() };
//! let explained = explain(&options, &weights, &tokens)?;
//! assert!(explained.report.holds());
//! assert!(explained.report.relative_difference() < 1e-12);
//! // the first token sees itself alone: its output is its own value
//! assert!((explained.dual[0] - 0.3).abs() < 1e-12);
//! // how much each token's gradient step adds to the prediction of the last query
//! let pairs = explained.pairs.as_ref().expect("there are few tokens");
//! println!("{:?}", &pairs.contributions[12..16]);
//! # Ok(())
//! # }
//! ```
//!
//! [`TensorFile::open`] reads the same from files. From inside to outside: `options`, `tensor_file`; `input`
//! (tokens and padding), `layout`, `read` and `layer` (which tensors are the layer, brought from every layout
//! into one form); `attention` (the layer itself, in candle) and `view` (its dual, with the `features` asked
//! for), with `side` and `rotary` as what they share; `report` (differences, bound, what was assumed).

mod attention;
pub mod bert;
mod error;
mod features;
mod input;
mod layer;
mod layout;
mod options;
mod read;
mod report;
mod rotary;
mod side;
mod tensor_file;
mod view;

pub use dual_model::feature_map;
pub use error::LensError;
pub use options::{
    Layout, MOST_FEATURES, MOST_HEADS, MOST_THREADS, Mask, Options, Pairs, Precision, RotaryStyle,
};
pub use report::Report;
pub use tensor_file::{Array, BUDGET, TensorFile};

use candle_core::DType;
use error::Result;
use input::Input;
use layer::Layer;
use rotary::Rotary;
use tensor_file::serialized;
use view::Sizes;

/// Largest number of attention weights that is written without being asked for.
const SMALL: usize = 1 << 22;

/// What lies between attention and its dual.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Differences, bound, and what was assumed.
    pub report: Report,
    /// Shape of both outputs: `[T, width]`, or `[B, T, width]` if the tokens came with a batch axis.
    pub shape: Vec<usize>,
    /// Attention's output.
    pub attention: Vec<f64>,
    /// The dual's prediction.
    pub dual: Vec<f64>,
    /// What every token does to every query; none if it was not asked for or is too large.
    pub pairs: Option<PairsOfTokens>,
    precision: Precision,
}

/// What every token does to every query.
#[derive(Debug, Clone)]
pub struct PairsOfTokens {
    /// `[H, T, T]`, or `[B, H, T, T]` if the tokens came with a batch axis: head, query, token.
    pub shape: Vec<usize>,
    /// Attention weights.
    pub weights: Vec<f64>,
    /// Norms of the tokens' increments, applied to the queries.
    pub contributions: Vec<f64>,
}

/// Explains a layer: its attention, its dual, and what lies between.
///
/// `tokens` holds `tokens`, `[T, d]` or `[B, T, d]`, and optionally `attention_mask` or `lengths`; `weights`
/// holds the layer under the names of one of the layouts of [`Layout`].
///
/// # Errors
/// [`LensError`] if an option, a tensor or a file is not what it has to be; nothing is guessed.
pub fn explain(
    options: &Options,
    weights: &TensorFile,
    tokens: &TensorFile,
) -> std::result::Result<Explained, LensError> {
    options.check()?;
    let input = Input::read(options, tokens)?;
    let layer = read::layer(options, weights, input.d)?;
    let with_weights = affordable(options, &layer, &input)?;
    let threads = options.threads;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| LensError::Threads { threads, source })?;
    pool.install(|| match options.precision {
        Precision::F64 => compare::<f64>(options, &layer, &input, DType::F64, with_weights),
        Precision::F32 => compare::<f32>(options, &layer, &input, DType::F32, with_weights),
    })
}

fn compare<R: dual_model::Real>(
    options: &Options,
    layer: &Layer,
    input: &Input,
    dtype: DType,
    with_weights: bool,
) -> Result<Explained> {
    let rotary = options
        .rotary
        .map(|theta| Rotary::new(theta, options.rotary_style, layer.heads.size, input.n_tokens));
    let rotary = rotary.transpose()?;
    let (attention, weights) =
        attention::attend(layer, input, rotary.as_ref(), dtype, with_weights, options.isa)?;
    let dual = view::explain::<R>(options, layer, input, rotary.as_ref())?;
    let mut report = Report::new(options, layer, input, &attention, &dual);
    if options.pairs == Pairs::IfSmall && !with_weights {
        report.assume(format!(
            "attention_weights and contributions are left out: more than {SMALL} numbers each; \
             --contributions writes them"
        ));
    }
    let n = input.n_tokens;
    let lead = if input.batched { vec![input.batch] } else { Vec::new() };
    let pairs = weights.map(|weights| PairsOfTokens {
        shape: [&lead[..], &[layer.heads.heads, n, n]].concat(),
        contributions: contributions(&weights, &dual.sizes, n),
        weights,
    });
    Ok(Explained {
        report,
        shape: [&lead[..], &[n, layer.width()]].concat(),
        attention: attention.values,
        dual: dual.output.values,
        pairs,
        precision: options.precision,
    })
}

/// The norm of token `j`'s increment `[v_j; 1] phi(k_j)^T` applied to query `i`, normalised: `w_ij |v_j|`.
fn contributions(weights: &[f64], sizes: &[Sizes], n: usize) -> Vec<f64> {
    let heads = weights.chunks_exact(n * n).zip(sizes);
    heads
        .flat_map(|(head, sizes)| {
            head.chunks_exact(n).flat_map(|row| row.iter().zip(&sizes.values).map(|(w, v)| w * v))
        })
        .collect()
}

/// Refuses what would not fit into memory; whether weights of every pair of tokens are to be formed.
fn affordable(options: &Options, layer: &Layer, input: &Input) -> Result<bool> {
    let (rows, n, size) = (input.batch * input.n_tokens, input.n_tokens, layer.heads.size);
    let outputs = (rows as u64).saturating_mul(16 * (layer.joined() + layer.width()) as u64);
    if outputs > BUDGET {
        let found = format!("{rows} tokens with outputs of {outputs} bytes");
        return Err(LensError::refused("tokens", found, format!("at most {BUDGET}"), "cut them"));
    }
    if !options.exact() {
        let (d_r, whole) = (options.d_r, options.d_r.next_multiple_of(size));
        if n.saturating_mul(d_r) > 1 << 28 || whole.saturating_mul(size) > 1 << 25 {
            let found = format!("{d_r} features for {n} tokens and heads of size {size}");
            let expected = "at most 2^28 numbers for the tokens and 2^25 for the features";
            let next = "lower --d-r or cut the tokens";
            return Err(LensError::refused("--d-r", found, expected, next));
        }
    }
    let pairs = n.checked_mul(n).and_then(|pairs| pairs.checked_mul(input.batch));
    let pairs = pairs.and_then(|pairs| pairs.checked_mul(layer.heads.heads)).unwrap_or(usize::MAX);
    if options.pairs == Pairs::Always && (pairs as u64).saturating_mul(32) > BUDGET {
        let found = format!("{pairs} weights of pairs of tokens");
        let expected = format!("at most {}", BUDGET / 32);
        let next = "leave it out or cut the tokens";
        return Err(LensError::refused("--contributions", found, expected, next));
    }
    Ok(match options.pairs {
        Pairs::Never => false,
        Pairs::IfSmall => pairs <= SMALL,
        Pairs::Always => true,
    })
}

impl Explained {
    /// The outputs as the content of a safetensors file, in the precision of the run: `attention`, `dual`, and
    /// `attention_weights` and `contributions` if they were formed.
    ///
    /// # Errors
    /// [`LensError::Safetensors`] if a shape was changed and no longer holds its numbers.
    pub fn to_safetensors(&self) -> std::result::Result<Vec<u8>, LensError> {
        let mut arrays = vec![
            ("attention", self.shape.clone(), self.attention.as_slice()),
            ("dual", self.shape.clone(), &self.dual),
        ];
        if let Some(PairsOfTokens { shape, weights, contributions }) = &self.pairs {
            arrays.push(("attention_weights", shape.clone(), weights));
            arrays.push(("contributions", shape.clone(), contributions));
        }
        serialized(&arrays, self.precision)
    }
}
