//! The arguments of `icl glue`.

use candle_core::DType;
use clap::{Args, Subcommand, ValueEnum};
use icl_glue::{ModelSettings, Split, Task, TuneSettings};
use icl_model::device::DeviceName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum GlueCommand {
    /// Predictions and scores of a model on a split of a task
    Eval(GlueEvalArguments),
    /// Fine-tunes a model on a task, scores it and saves it as a folder that transformers loads
    Train(GlueTrainArguments),
    /// Writes a stand-in for GLUE, sentences of a seeded grammar: four sets, text, and a small pre-trained model
    Grammar(GlueGrammarArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GlueGrammarArguments {
    /// Folder for the sets, text.txt and model/; it must not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Seed of the sets, the text and the model
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Rows of every split train
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) train: u32,
    /// Rows of every split dev
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) dev: u32,
    /// Documents of the text
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) documents: u32,
    /// Times through the text
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) epochs: u32,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

/// Numbers in which candle's operations compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// Single precision, without TF32
    F32,
    /// Eight bits in products and states; parameters, losses and their sums in single precision
    Bf16,
}

impl Numbers {
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// Which model, on which task.
#[derive(Debug, Args)]
pub(crate) struct GlueModelArguments {
    /// Folder of a BERT: config.json, weights, tokenizer.json or vocab.txt
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Folder of the data, in GLUE's own files or the hub's parquet
    #[arg(long, value_name = "DIR", default_value = "data/glue")]
    pub(crate) data: PathBuf,
    /// Task: cola, mrpc, stsb, rte
    #[arg(long)]
    pub(crate) task: Task,
    /// Modification of attention, `id` or `id:option=value,...`
    #[arg(long, default_value = "plain")]
    pub(crate) modification: String,
    /// Word pieces to which sequences are cut
    #[arg(long, default_value_t = 128)]
    pub(crate) longest: usize,
    /// Seed of what the folder does not hold, and of order and dropout in training
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads; otherwise all cores
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Device: `cpu`, or `cuda` with `:N`, whose numbers are of the class cuda
    #[arg(long, default_value = "cpu")]
    pub(crate) device: DeviceName,
    /// Numbers in which a GPU computes
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) numbers: Numbers,
    /// Where predictions go, tab-separated: index, logits, prediction
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Option<PathBuf>,
    /// Machine-readable
    #[arg(long)]
    pub(crate) json: bool,
}

impl GlueModelArguments {
    pub(crate) fn settings(&self) -> ModelSettings {
        let (modification, longest, seed) = (self.modification.clone(), self.longest, self.seed);
        ModelSettings { modification, longest, seed }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GlueEvalArguments {
    #[command(flatten)]
    pub(crate) model: GlueModelArguments,
    /// Split: train, dev, test
    #[arg(long, default_value = "dev")]
    pub(crate) split: Split,
    /// Predict the cosine of the sentences' mean vectors, without a head
    #[arg(long)]
    pub(crate) cosine: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GlueTrainArguments {
    #[command(flatten)]
    pub(crate) model: GlueModelArguments,
    /// Times through the training set
    #[arg(long, default_value_t = 3)]
    pub(crate) epochs: usize,
    /// Examples of a step
    #[arg(long, default_value_t = 32)]
    pub(crate) batch: usize,
    /// Examples whose activations are held at a time; parts of a batch run side by side
    #[arg(long, default_value_t = 16)]
    pub(crate) part: usize,
    /// Largest step size of AdamW
    #[arg(long, default_value_t = 1e-4)]
    pub(crate) learning_rate: f64,
    /// Share of the steps in which it rises; it falls to 0 on a line
    #[arg(long, default_value_t = 0.1)]
    pub(crate) warm_up: f64,
    /// Decoupled decay of weights, not of biases and norms
    #[arg(long, default_value_t = 0.01)]
    pub(crate) decay: f64,
    /// Largest norm of a gradient; 0 does not clip
    #[arg(long, default_value_t = 1.0)]
    pub(crate) clip: f64,
    /// Share of dropped entries; otherwise what the model's folder says
    #[arg(long)]
    pub(crate) dropout: Option<f64>,
    /// File in which the run keeps its state; a run that finds it there goes on from it to the same bits
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Folder for the tuned model; it must not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

impl GlueTrainArguments {
    pub(crate) fn settings(&self) -> TuneSettings {
        TuneSettings {
            seed: self.model.seed,
            epochs: self.epochs,
            batch: self.batch,
            part: self.part,
            learning_rate: self.learning_rate,
            warm_up: self.warm_up,
            decay: self.decay,
            clip: self.clip,
            dropout: self.dropout,
        }
    }
}
