//! The dual-model view of a user's own attention layer.
//!
//! * `arguments`: the command line; `input`: tokens and padding.
//! * `layout`, `read`, `layer`: which tensors are the layer, brought from every layout into one form.
//! * `attention`: the layer itself, in candle; `view`: its dual. `side` and `rotary` are what they share.
//! * `report`: differences, bound, what was assumed.

pub(crate) mod arguments;
mod attention;
mod input;
mod layer;
mod layout;
mod read;
pub(crate) mod report;
mod rotary;
mod side;
mod view;

use crate::tensor_file::{BUDGET, TensorFile, write_tensors};
use anyhow::{Context as _, bail, ensure};
use arguments::{LensArguments, LensDtype, LensFeatureMap};
use candle_core::DType;
use clap::Parser;
use input::Input;
use layer::Layer;
use report::Report;
use rotary::Rotary;
use view::Sizes;

/// Largest number of attention weights that is written without being asked for.
const SMALL: usize = 1 << 22;

/// What the run found.
pub(crate) struct Explained {
    pub(crate) report: Report,
    /// Axes before those of a token: nothing or the batch.
    lead: Vec<usize>,
    sizes: [usize; 3],
    attention: Vec<f64>,
    dual: Vec<f64>,
    /// Weights and contributions, `[batch, heads, tokens, tokens]`.
    weights: Option<[Vec<f64>; 2]>,
}

/// Explains a layer: its attention, its dual, and what lies between.
pub(crate) fn explain(
    arguments: &LensArguments,
    weights: &TensorFile,
    tokens: &TensorFile,
) -> anyhow::Result<Explained> {
    let input = Input::read(arguments, tokens)?;
    let layer = layout::layer(arguments, weights, input.d)?;
    let with_weights = affordable(arguments, &layer, &input)?;
    let threads = threads(arguments);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.with_context(|| {
        format!("--threads: found {threads}, expected a number that the system grants; lower it")
    })?;
    pool.install(|| match arguments.dtype {
        LensDtype::F64 => compare::<f64>(arguments, &layer, &input, DType::F64, with_weights),
        LensDtype::F32 => compare::<f32>(arguments, &layer, &input, DType::F32, with_weights),
    })
}

fn compare<R: dual_model::Real>(
    arguments: &LensArguments,
    layer: &Layer,
    input: &Input,
    dtype: DType,
    with_weights: bool,
) -> anyhow::Result<Explained> {
    let rotary = arguments
        .rotary
        .map(|theta| Rotary::new(theta, arguments.rotary_style, layer.heads.size, input.n_tokens));
    let rotary = rotary.transpose()?;
    let (attention, weights) =
        attention::attend(layer, input, rotary.as_ref(), dtype, with_weights)?;
    let dual = view::explain::<R>(arguments, layer, input, rotary.as_ref())?;
    let mut report = Report::new(arguments, layer, input, &attention, &dual);
    if arguments.out.is_some() && !with_weights {
        report.assume(format!(
            "attention_weights and contributions are left out: more than {SMALL} numbers each; \
             --contributions writes them"
        ));
    }
    let n = input.n_tokens;
    let weights = weights.map(|weights| {
        let contributions = contributions(&weights, &dual.sizes, n);
        [weights, contributions]
    });
    Ok(Explained {
        report,
        lead: if input.batched { vec![input.batch] } else { Vec::new() },
        sizes: [n, layer.width(), layer.heads.heads],
        attention: attention.values,
        dual: dual.output.values,
        weights,
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
fn affordable(arguments: &LensArguments, layer: &Layer, input: &Input) -> anyhow::Result<bool> {
    let (rows, n, size) = (input.batch * input.n_tokens, input.n_tokens, layer.heads.size);
    let outputs = (rows as u64).saturating_mul(16 * (layer.joined() + layer.width()) as u64);
    ensure!(
        outputs <= BUDGET,
        "tokens: found {rows} tokens with outputs of {outputs} bytes, expected at most {BUDGET}; cut them"
    );
    if arguments.feature_map != LensFeatureMap::Exact {
        let (d_r, whole) = (arguments.d_r, arguments.d_r.next_multiple_of(size));
        ensure!(
            n.saturating_mul(d_r) <= 1 << 28 && whole.saturating_mul(size) <= 1 << 25,
            "--d-r: found {d_r} features for {n} tokens and heads of size {size}, expected at most 2^28 \
             numbers for the tokens and 2^25 for the features; lower --d-r or cut the tokens"
        );
    }
    let pairs = n.checked_mul(n).and_then(|pairs| pairs.checked_mul(input.batch));
    let pairs = pairs.and_then(|pairs| pairs.checked_mul(layer.heads.heads)).unwrap_or(usize::MAX);
    if arguments.contributions && (pairs as u64).saturating_mul(32) > BUDGET {
        bail!(
            "--contributions: found {pairs} weights of pairs of tokens, expected at most {}; leave it out or \
             cut the tokens",
            BUDGET / 32
        );
    }
    Ok(arguments.out.is_some() && (arguments.contributions || pairs <= SMALL))
}

/// Threads of the run.
fn threads(arguments: &LensArguments) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    arguments.threads.unwrap_or_else(all)
}

impl Explained {
    /// Writes the outputs, if a file was named.
    pub(crate) fn write(&self, arguments: &LensArguments) -> anyhow::Result<()> {
        let Some(path) = &arguments.out else { return Ok(()) };
        let [n, width, heads] = self.sizes;
        let shape = |rest: &[usize]| [&self.lead, rest].concat();
        let mut arrays = vec![
            ("attention", shape(&[n, width]), self.attention.as_slice()),
            ("dual", shape(&[n, width]), &self.dual),
        ];
        if let Some([weights, contributions]) = &self.weights {
            arrays.push(("attention_weights", shape(&[heads, n, n]), weights));
            arrays.push(("contributions", shape(&[heads, n, n]), contributions));
        }
        write_tensors(path, &arrays, arguments.dtype == LensDtype::F64)
    }
}

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    lens: LensArguments,
}

/// Arguments from flags, for files that are no files.
pub(crate) fn parse(flags: &[&str]) -> anyhow::Result<LensArguments> {
    let fixed = ["lens", "--tokens", "tokens", "--weights", "weights"];
    Ok(Flags::try_parse_from(fixed.iter().chain(flags))?.lens)
}

/// The whole lens on the bytes of two files, without writing anything: the JSON that it would print.
///
/// # Errors
/// The message with which the program would end.
pub fn explain_bytes(weights: &[u8], tokens: &[u8], flags: &[&str]) -> Result<String, String> {
    let run = || -> anyhow::Result<String> {
        let arguments = parse(flags)?;
        let weights = TensorFile::from_bytes("weights", weights.to_vec(), 64 << 20)?;
        let tokens = TensorFile::from_bytes("tokens", tokens.to_vec(), 64 << 20)?;
        Ok(explain(&arguments, &weights, &tokens)?.report.json().to_string())
    };
    run().map_err(|error| format!("{error:#}"))
}
