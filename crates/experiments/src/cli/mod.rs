//! The command line.

mod floor;
mod glue;
mod lens;

pub(crate) use floor::FloorArguments;
pub(crate) use glue::{
    GlueCommand, GlueEvalArguments, GlueGrammarArguments, GlueModelArguments, GlueTrainArguments,
    Numbers,
};
pub(crate) use lens::{LensArguments, Subject};

use crate::inputs::InputArguments;
use crate::profile::Profile;
use clap::{Args, Parser, Subcommand, ValueEnum};
use icl_model::adam::Course;
use icl_model::device::DeviceName;
use icl_model::settings::{Backend, Start};
use icl_model::task::Scale;
use icl_numerics::lanes::Isa;
use std::path::PathBuf;

/// Regenerates, hashes and verifies the figures and tables of the artifact.
///
/// Exit codes: 0 reproduced; 1 ran, but something differs or an expected claim fails; 2 could not run.
#[derive(Debug, Parser)]
#[command(name = "icl", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Root of the workspace; otherwise searched above the working directory and the program
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Instruction set; changes the speed, never a number
    #[arg(long, global = true, value_enum, value_name = "SET")]
    pub(crate) isa: Option<IsaChoice>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Items: id, paper item, claim, estimated minutes on this host
    List(ListArguments),
    /// Settings of an item with their provenance, its cells and outputs
    Show(ShowArguments),
    /// Computes what is missing, writes outputs, verifies them
    Run(RunArguments),
    /// Integrity, bits, tolerance, claims; recomputes a random sample of cells
    Verify(VerifyArguments),
    /// The dual-model view of your own attention layer, or of all layers of a BERT
    Lens(LensArguments),
    /// Trains one layer and saves its weights
    Train(TrainArguments),
    /// The lowest loss of one or two softmax heads on the linear task, both signs of the scores
    Floor(FloorArguments),
    /// Pretrained models on the tasks of GLUE: scores, fine-tuning
    #[command(subcommand)]
    Glue(GlueCommand),
    /// Time of one full training step
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Toolchain, disk, memory, instruction sets, GPU: one line each
    Doctor(DoctorArguments),
    /// What a folder of outputs shows, as one HTML page
    Report(ReportArguments),
    /// Makes the present outputs the expected ones, with a reason
    Bless(BlessArguments),
    /// Renews the generated parts of the documents
    Document(DocumentArguments),
    /// Completions for a shell, on standard output
    Completions(CompletionsArguments),
    /// The manual page, on standard output
    Man,
}

/// Instruction sets that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsaChoice {
    /// Plain Rust, slow
    Portable,
    /// AVX2 and FMA
    Avx2,
    /// AVX-512
    Avx512,
}

impl IsaChoice {
    /// The instruction set, if this machine has it.
    pub(crate) fn resolve(choice: Option<Self>) -> anyhow::Result<Isa> {
        let Some(choice) = choice else {
            return Ok(Isa::detect());
        };
        let wanted = match choice {
            Self::Portable => Isa::Portable,
            Self::Avx2 => Isa::Avx2,
            Self::Avx512 => Isa::Avx512,
        };
        Isa::available().find(|isa| *isa == wanted).ok_or_else(|| {
            let known: Vec<&str> = Isa::available().map(Isa::name).collect();
            anyhow::anyhow!(
                "--isa: found {}, expected one that this machine has: {}",
                wanted.name(),
                known.join(", ")
            )
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
    /// Profile of the estimate
    #[arg(long, value_enum, default_value = "paper")]
    pub(crate) profile: Profile,
    /// With what every item claims
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// Item
    pub(crate) id: String,
    /// Profile of the values
    #[arg(long, value_enum, default_value = "paper")]
    pub(crate) profile: Profile,
    /// With every cell and its key
    #[arg(long)]
    pub(crate) cells: bool,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// Folder of outputs, or of one profile; out/ otherwise
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Items; none means all
    pub(crate) ids: Vec<String>,
    /// All items
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    /// Size of the run
    #[arg(long, value_enum, default_value = "smoke")]
    pub(crate) profile: Profile,
    /// Device: `cpu`, or `cuda` with `:N`
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// Threads
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Folder for outputs and store, instead of out/
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
    /// Compute everything anew
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Compute only part K of N of the missing cells, write no outputs
    #[arg(long, value_name = "K/N", value_parser = parse_shard)]
    pub(crate) shard: Option<(usize, usize)>,
}

fn parse_shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((k, n)) if k >= 1 && k <= n => Ok((k, n)),
        _ => Err("expected K/N with 1 <= K <= N, for example 2/4".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Folder of a profile, or one that holds such folders; otherwise out/
    pub(crate) dir: Option<PathBuf>,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
    /// Items to draw again and cells to compute again, per profile
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) sample: usize,
    /// Compute only cells again that are estimated to take at most so many seconds
    #[arg(long, default_value_t = 0.5, value_name = "S")]
    pub(crate) seconds: f64,
    /// Draw all items again, and let the sample hold cells of any length
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// Task: linear, trigonometric, cosine, exponential, shifted-exponential
    #[arg(long)]
    pub(crate) task: String,
    /// Size of an input
    #[arg(long, default_value_t = 11)]
    pub(crate) d_t: usize,
    /// Size of a target
    #[arg(long, default_value_t = 1)]
    pub(crate) d_s: usize,
    /// Demonstrations N
    #[arg(long = "n", default_value_t = 15)]
    pub(crate) n_demos: usize,
    /// Heads
    #[arg(long, default_value_t = 1)]
    pub(crate) heads: usize,
    /// Modification, `id` or `id:option=value,...`
    #[arg(long, default_value = "plain")]
    pub(crate) modification: String,
    /// Scale of W t: raw, unit or half (its standard deviation); otherwise the task's own
    #[arg(long, value_parser = parse_named::<Scale>)]
    pub(crate) scale: Option<Scale>,
    /// Positive random features; 0 for exact softmax
    #[arg(long, default_value_t = 0)]
    pub(crate) d_r: usize,
    /// Training steps
    #[arg(long, default_value_t = 1000)]
    pub(crate) steps: usize,
    /// Prompts per step, a multiple of 16
    #[arg(long, default_value_t = 1024)]
    pub(crate) batch: usize,
    /// Step size of Adam
    #[arg(long, default_value_t = 1e-2)]
    pub(crate) learning_rate: f64,
    /// Largest global norm of a gradient; 0 does not clip
    #[arg(long, default_value_t = 0.0)]
    pub(crate) clip: f64,
    /// Standard deviation of the initial projections
    #[arg(long, default_value_t = 0.3)]
    pub(crate) initial_sd: f64,
    /// Sign of the heads' initial weights from label to label: drawn, opposed (the better optimum), aligned
    #[arg(long, default_value = "drawn", value_parser = parse_named::<Start>)]
    pub(crate) start: Start,
    /// How the step size changes along the training: constant, cosine
    #[arg(long, default_value = "constant", value_parser = parse_named::<Course>)]
    pub(crate) schedule: Course,
    /// Held-out prompts
    #[arg(long, default_value_t = 131_072)]
    pub(crate) n_test: usize,
    /// Steps between test losses
    #[arg(long, default_value_t = 100)]
    pub(crate) test_every: usize,
    /// Seed of initial values, prompts and features
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// fused or reference
    #[arg(long, default_value = "fused", value_parser = parse_named::<Backend>)]
    pub(crate) implementation: Backend,
    /// Continue from this file, with its optimiser if it holds one
    #[arg(long, value_name = "FILE")]
    pub(crate) init: Option<PathBuf>,
    /// Where the weights go
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

/// A choice by its name in settings; the error lists all.
fn parse_named<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// One full training step: data, forward, backward, Adam
    Step(BenchStepArguments),
    /// One full fine-tuning step of a BERT: forward, backward, clipping, AdamW
    Bert(BenchBertArguments),
    /// The step beside the machine's measured floor
    Roofline(RooflineArguments),
}

/// Kernel of the measured step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// exp(k . q)
    Softmax,
    /// Positive random features
    Positive,
}

#[derive(Debug, Args)]
pub(crate) struct BenchStepArguments {
    /// Kernel
    #[arg(long, value_enum)]
    pub(crate) variant: Variant,
    /// Prompts, a multiple of 16
    #[arg(long, default_value_t = 1024)]
    pub(crate) batch: usize,
    /// Tokens of a prompt, demonstrations and query
    #[arg(long, default_value_t = 16)]
    pub(crate) tokens: usize,
    /// Token size
    #[arg(long, default_value_t = 12)]
    pub(crate) d: usize,
    /// Features (variant positive)
    #[arg(long, default_value_t = 100)]
    pub(crate) d_r: usize,
    /// Heads
    #[arg(long, default_value_t = 1)]
    pub(crate) heads: usize,
    /// Modification, `id` or `id:option=value,...`
    #[arg(long, default_value = "plain")]
    pub(crate) modification: String,
    /// Timed steps
    #[arg(long, default_value_t = 200)]
    pub(crate) steps: usize,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Device: `cpu`, or `cuda` with `:N`
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// Runs that a GPU trains at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) runs: u32,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchBertArguments {
    /// Layers
    #[arg(long, default_value_t = 2)]
    pub(crate) layers: usize,
    /// Size of a token
    #[arg(long, default_value_t = 128)]
    pub(crate) hidden: usize,
    /// Heads
    #[arg(long, default_value_t = 2)]
    pub(crate) heads: usize,
    /// Sequences of a step
    #[arg(long, default_value_t = 32)]
    pub(crate) batch: usize,
    /// Sequences whose activations are held at a time
    #[arg(long, default_value_t = 32)]
    pub(crate) part: usize,
    /// Word pieces of a sequence
    #[arg(long, default_value_t = 64)]
    pub(crate) length: usize,
    /// Modification, `id` or `id:option=value,...`
    #[arg(long, default_value = "plain")]
    pub(crate) modification: String,
    /// Timed steps
    #[arg(long, default_value_t = 10)]
    pub(crate) steps: usize,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RooflineArguments {
    /// Threads; otherwise all cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Keep the measurement for ARCHITECTURE.md
    #[arg(long)]
    pub(crate) write: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Folder for outputs, instead of out/
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BlessArguments {
    /// Items; none means all that the folder holds
    pub(crate) ids: Vec<String>,
    /// Why the expected outputs change
    #[arg(long)]
    pub(crate) reason: String,
    /// Profile; otherwise all that have been run
    #[arg(long, value_enum)]
    pub(crate) profile: Option<Profile>,
    /// Folder of the outputs, instead of out/
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

impl BlessArguments {
    /// Whether an item is to be blessed.
    pub(crate) fn wants(&self, id: &str) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|one| one == id)
    }
}

#[derive(Debug, Args)]
pub(crate) struct DocumentArguments {
    /// Only say whether they are stale (exit code 1)
    #[arg(long)]
    pub(crate) check: bool,
}
