//! The arguments of `icl lens`.

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use icl_lens::{
    Layout, MOST_FEATURES, MOST_HEADS, MOST_THREADS, Mask, Options, Pairs, Precision, RotaryStyle,
    feature_map,
};
use icl_numerics::lanes::Isa;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A choice: its value, its name on the command line, and what it means.
type Choice<T> = (T, &'static str, &'static str);

const MASKS: [Choice<Mask>; 2] = [
    (Mask::None, "none", "Every token sees every token"),
    (Mask::Causal, "causal", "Token i sees tokens 0 to i"),
];

const PRECISIONS: [Choice<Precision>; 2] =
    [(Precision::F64, "f64", "Double"), (Precision::F32, "f32", "Single")];

const LAYOUTS: [Choice<Layout>; 5] = [
    (
        Layout::Linear,
        "linear",
        "y = x Wᵀ: `w_q` or `q_proj.weight` or `query.weight`, rows of the heads one below the other",
    ),
    (Layout::Conv1d, "conv1d", "y = x W, fused: `c_attn.weight` `[d, 3 H d_h]`, as in GPT-2"),
    (
        Layout::InProj,
        "in-proj",
        "y = x Wᵀ, fused: `in_proj_weight` `[3 H d_h, d]`, as in `torch.nn.MultiheadAttention`",
    ),
    (
        Layout::PerHead,
        "per-head",
        "One matrix a head: `W_Q` `[H, d, d_h]`, as in `TransformerLens`",
    ),
    (Layout::Summed, "summed", "One square matrix a head, outputs summed: what `icl train` writes"),
];

const ROTARY_STYLES: [Choice<RotaryStyle>; 2] = [
    (RotaryStyle::Half, "half", "Dimension i with i plus half the size (Llama, GPT-NeoX)"),
    (RotaryStyle::Interleaved, "interleaved", "Dimension 2 i with 2 i + 1 (GPT-J)"),
];

/// A parser of one of the choices.
fn one_of<T: Copy + Send + Sync>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let names = choices.iter().map(|(_, name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(names).try_map(move |name| {
        let chosen = choices.iter().find(|choice| choice.1 == name).map(|choice| choice.0);
        chosen.ok_or_else(|| format!("found {name}, expected one of the possible values"))
    })
}

/// The dual's kernel among the registered feature maps.
fn kernel(text: &str) -> Result<feature_map::Choice, String> {
    feature_map::parse(text).map_err(|error| error.to_string())
}

/// What kernels there are.
fn kernels() -> String {
    let mut help = "Kernel of the dual, MAP or MAP:OPTION=VALUE:".to_owned();
    for feature_map::Entry { id, title, options, .. } in feature_map::ALL {
        let separator = if options.is_empty() { "" } else { "; " };
        _ = write!(help, "\n- {id}: {title}{separator}{options}");
    }
    help
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

/// Of one layer, or of a whole model: the one's flags exclude the other's.
const USAGE: &str = "icl lens [OPTIONS] --tokens <FILE> --weights <FILE>\n       \
                     icl lens [OPTIONS] --model <DIR> --text <FILE>";

#[derive(Debug, Clone, Args)]
#[command(override_usage = USAGE)]
pub(crate) struct LensArguments {
    #[command(flatten, next_help_heading = "One attention layer")]
    layer: LayerArguments,
    #[command(flatten, next_help_heading = "All layers of a BERT")]
    model: ModelArguments,
    #[command(flatten, next_help_heading = "Both")]
    pub(crate) both: BothArguments,
}

#[derive(Debug, Clone, Args)]
#[group(id = "layer", conflicts_with = "bert")]
struct LayerArguments {
    /// safetensors with `tokens`, T x d or B x T x d, and optionally `attention_mask` or `lengths`
    #[arg(long, value_name = "FILE", requires = "weights", required_unless_present = "bert")]
    tokens: Option<PathBuf>,
    /// safetensors with the weights of the layer, f64, f32, bf16 or f16
    #[arg(long, value_name = "FILE", requires = "tokens")]
    weights: Option<PathBuf>,
    /// How the file holds the layer; otherwise told by names and shapes
    #[arg(long, value_parser = one_of(&LAYOUTS))]
    layout: Option<Layout>,
    /// The layer among several, for example `model.layers.3.self_attn`
    #[arg(long)]
    prefix: Option<String>,
    /// Heads; otherwise as the file says, or 1
    #[arg(long, value_parser = whole::<1, MOST_HEADS>)]
    heads: Option<usize>,
    /// Heads of keys and values, if fewer; otherwise told by shapes
    #[arg(long, value_parser = whole::<1, MOST_HEADS>)]
    kv_heads: Option<usize>,
    /// Size of a head; otherwise the rows of the queries over the heads
    #[arg(long, value_parser = whole::<1, MOST_HEADS>)]
    head_size: Option<usize>,
    /// Rotate queries and keys by their position, with this base, for example 10000
    #[arg(long, value_name = "THETA", value_parser = theta)]
    rotary: Option<f64>,
    /// Dimensions that are rotated together
    #[arg(long, value_parser = one_of(&ROTARY_STYLES), default_value = "half")]
    rotary_style: RotaryStyle,
    /// Mask; padding comes from the tokens' file
    #[arg(long, value_parser = one_of(&MASKS), default_value = "none")]
    mask: Mask,
    /// Demonstrations: the first so many tokens; otherwise all but the last
    #[arg(long, value_parser = whole::<0, 16_777_216>)]
    demos: Option<usize>,
    #[arg(long, value_name = "MAP", value_parser = kernel, default_value = "exact", help = kernels())]
    feature_map: feature_map::Choice,
    /// Features
    #[arg(long, default_value = "1024", value_parser = whole::<1, MOST_FEATURES>)]
    d_r: usize,
    /// Seed of the features
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write `attention_weights` and `contributions` however large
    #[arg(long, requires = "out")]
    contributions: bool,
}

#[derive(Debug, Clone, Args)]
#[group(id = "bert")]
struct ModelArguments {
    /// Folder of a BERT: config.json, weights, tokenizer.json or vocab.txt
    #[arg(long, value_name = "DIR", requires = "text")]
    model: Option<PathBuf>,
    /// Sentences, one a line, or two of a pair with a tab between
    #[arg(long, value_name = "FILE", requires = "model")]
    text: Option<PathBuf>,
    /// Word pieces to which sentences are cut; otherwise 128, or the model's positions if fewer
    #[arg(long, value_name = "N", requires = "model", value_parser = whole::<4, 1_048_576>)]
    longest: Option<usize>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BothArguments {
    /// Precision
    #[arg(long, value_parser = one_of(&PRECISIONS), default_value = "f64")]
    pub(crate) dtype: Precision,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = whole::<1, MOST_THREADS>)]
    threads: Option<usize>,
    /// safetensors for `attention` and `dual` (of a BERT: `layer_0.attention` ..), and, if small,
    /// `attention_weights` and `contributions` of a layer
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    /// A layer on tokens.
    Layer { tokens: &'a Path, weights: &'a Path },
    /// A model on a text.
    Model { folder: &'a Path, text: &'a Path, longest: Option<usize> },
}

impl LensArguments {
    /// What the flags name.
    pub(crate) fn subject(&self) -> anyhow::Result<Subject<'_>> {
        let (layer, model) = (&self.layer, &self.model);
        match (&layer.tokens, &layer.weights, &model.model, &model.text) {
            (Some(tokens), Some(weights), None, None) => Ok(Subject::Layer { tokens, weights }),
            (None, None, Some(folder), Some(text)) => {
                Ok(Subject::Model { folder, text, longest: model.longest })
            }
            _ => anyhow::bail!(
                "lens: found a part of two pairs, expected --tokens and --weights, or --model and --text"
            ),
        }
    }

    /// Threads; `cores` if none are stated.
    pub(crate) fn threads(&self, cores: usize) -> usize {
        self.both.threads.unwrap_or(cores)
    }

    /// What the library is asked for of a layer; `cores` threads if none are stated.
    pub(crate) fn options(&self, cores: usize, isa: Isa) -> Options {
        let layer = self.layer.clone();
        Options {
            layout: layer.layout,
            prefix: layer.prefix,
            heads: layer.heads,
            kv_heads: layer.kv_heads,
            head_size: layer.head_size,
            rotary: layer.rotary,
            rotary_style: layer.rotary_style,
            mask: layer.mask,
            demos: layer.demos,
            kernel: layer.feature_map,
            d_r: layer.d_r,
            seed: layer.seed,
            precision: self.both.dtype,
            threads: self.threads(cores),
            isa,
            pairs: match (&self.both.out, layer.contributions) {
                (None, _) => Pairs::Never,
                (Some(_), false) => Pairs::IfSmall,
                (Some(_), true) => Pairs::Always,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        lens: LensArguments,
    }

    fn parse(flags: &[&str]) -> Options {
        let fixed = ["lens", "--tokens", "t", "--weights", "w"];
        Flags::try_parse_from(fixed.iter().chain(flags)).unwrap().lens.options(3, Isa::Portable)
    }

    #[test]
    fn without_flags_the_options_are_the_librarys_own_on_all_cores() {
        let want = Options { threads: 3, pairs: Pairs::Never, ..Options::default() };
        assert_eq!(parse(&[]), want);
    }

    #[test]
    fn every_choice_has_the_name_under_which_it_is_reported() {
        for (layout, name, _) in LAYOUTS {
            assert_eq!((parse(&["--layout", name]).layout, layout.name()), (Some(layout), name));
        }
        for entry in feature_map::ALL {
            assert_eq!(parse(&["--feature-map", entry.id]).kernel.specification(), entry.id);
            assert!(kernels().contains(entry.title));
        }
        assert_eq!(
            parse(&["--feature-map", "taylor:order=2"]).kernel.specification(),
            "taylor:order=2"
        );
        for (precision, name, _) in PRECISIONS {
            assert_eq!((parse(&["--dtype", name]).precision, precision.name()), (precision, name));
        }
    }
}
