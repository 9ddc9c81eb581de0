//! The small layer and prompt from which schemes are drawn.

use crate::cells::machine;
use crate::profile::Profile;
use crate::settings::SettingsFile;
use crate::views::heads;
use anyhow::Context as _;
use candle_core::{DType, Tensor};
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_map::Exact;
use dual_model::head::{Head, HeadMatrices};
use icl_model::attention::{self, LayerShape, Weights};
use icl_model::device::Device;
use icl_model::kernel::Kernel;
use icl_model::mask::Mask;
use icl_model::prompt::PromptShape;
use icl_model::reference::{Layer, TransformerLayer};
use icl_model::settings::{StackSettings, TrainSettings};
use icl_model::trainer::Unkept;
use icl_model::training::{LayerTraining, StackTraining};
use icl_numerics::order;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Settings of a scheme: few tokens, so that matrices can be read.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) n_demos: usize,
    pub(crate) d_t: usize,
    pub(crate) initial_sd: f64,
    pub(crate) seed: u64,
    pub(crate) prompt: usize,
    /// Hidden units of a Transformer layer; 0 where there is none.
    #[serde(default)]
    pub(crate) hidden: usize,
    /// Transformer layers; 0 where there is none.
    #[serde(default)]
    pub(crate) layers: usize,
    /// Training steps of a Transformer before it is drawn.
    #[serde(default)]
    pub(crate) steps: usize,
    /// Held-out prompts behind a share; 0 where there is none.
    #[serde(default)]
    pub(crate) prompts: usize,
    /// Temperature of a contrastive loss; 0 where there is none.
    #[serde(default)]
    pub(crate) temperature: f64,
}

impl Settings {
    /// Reads and checks the settings.
    pub(crate) fn read(file: &SettingsFile, profile: Profile) -> anyhow::Result<Self> {
        let settings: Self = file.typed(profile)?;
        for (field, found, low, high) in [
            ("n_demos", settings.n_demos, 2, 6),
            ("d_t", settings.d_t, 1, 4),
            ("prompt", settings.prompt, 0, 63),
            ("hidden", settings.hidden, 0, 6),
            ("layers", settings.layers, 0, 4),
            ("steps", settings.steps, 0, 10_000),
            ("prompts", settings.prompts, 0, 65_536),
        ] {
            if !(low..=high).contains(&found) {
                return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
            }
        }
        if !(0.0..=1e3).contains(&settings.temperature) {
            return Err(file.refuse("temperature", &settings.temperature.to_string(), "0 to 1000"));
        }
        settings
            .layer()
            .check()
            .map_err(|e| file.refuse("initial_sd", &e.to_string(), "in range"))?;
        Ok(settings)
    }

    /// The layer that is drawn, as a training run.
    pub(crate) fn layer(&self) -> TrainSettings {
        TrainSettings {
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: 1 },
            steps: self.steps,
            batch: 64,
            n_validation: self.prompts.max(64),
            validate_every: self.steps.max(1),
            init_std: self.initial_sd,
            seed: self.seed,
            ..TrainSettings::base()
        }
    }

    /// The stack whose layers are drawn, as a training run.
    pub(crate) fn stack(&self, residual: bool) -> StackSettings {
        let (train, layers, d_ff) = (self.layer(), self.layers, self.hidden);
        StackSettings { train, layers, d_ff, residual }
    }
}

/// Tokens of a prompt and their one head, in `f64`; the last token is the query.
pub(crate) struct SchemePrompt {
    pub(crate) tokens: Matrix,
    pub(crate) head: Head,
    n_demos: usize,
    weights: Weights,
}

impl SchemePrompt {
    /// Draws the layer and projects the prompt.
    pub(crate) fn new(settings: &Settings, device: Device) -> anyhow::Result<Self> {
        let one = settings.prompt..settings.prompt + 1;
        Self::several(settings, device, one)?.pop().context("no prompt")
    }

    /// Draws the layer and projects these prompts of the held-out set.
    pub(crate) fn several(
        settings: &Settings,
        device: Device,
        prompts: Range<usize>,
    ) -> anyhow::Result<Vec<Self>> {
        let layer = LayerTraining::new(settings.layer(), &machine(device))?;
        let mut trainer = layer.trainer();
        trainer.run(&Unkept)?;
        let (n_demos, d) = (settings.n_demos, settings.d_t + 1);
        let matrices = heads::of_parameters(trainer.parameters(), d)?;
        let weights = trainer.parameters().weights(DType::F64, device)?;
        let held_out = layer.validation();
        let project = |prompt: usize| {
            let flat = held_out.prompt(prompt).into_iter().map(f64::from).collect();
            let tokens = Matrix::new(n_demos + 1, d, flat)?;
            let head = one_head(&matrices, &tokens)?;
            anyhow::Ok(Self { tokens, head, n_demos, weights: weights.clone() })
        };
        prompts.map(project).collect()
    }

    /// Features that are exact on the prompt's keys.
    pub(crate) fn features(&self) -> Exact {
        Exact::new(self.head.keys.iter_rows())
    }

    /// The query.
    pub(crate) fn query(&self) -> &[f64] {
        self.head.queries.row(self.n_demos)
    }

    /// Demonstrations and query side as the dual sees them.
    pub(crate) fn pairs(&self) -> (Vec<KeyValue<'_>>, Vec<KeyValue<'_>>) {
        let n = self.n_demos;
        (self.head.key_values(0..n), self.head.key_values(n..n + 1))
    }

    /// Weights and output for the query token by candle's layer.
    pub(crate) fn attention(&self) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let (n, d) = (self.tokens.rows(), self.tokens.columns());
        let tokens = tensor(&self.tokens)?;
        let plain = attention::parse("plain")?;
        let shape = LayerShape { d, n_heads: 1 };
        let layer = Layer { shape, modification: plain.as_ref(), kernel: &Kernel::Softmax };
        let attended = layer.forward(&self.weights, &tokens, self.n_demos, &Mask::None)?;
        let last = |x: Tensor| -> anyhow::Result<Vec<f64>> {
            let flat: Vec<f64> = x.flatten_all()?.to_vec1()?;
            let width = flat.len() / n;
            Ok(flat[(n - 1) * width..].to_vec())
        };
        Ok((last(attended.attention_weights)?, last(attended.output)?))
    }
}

/// `[1, tokens, d]`.
fn tensor(tokens: &Matrix) -> anyhow::Result<Tensor> {
    let shape = (1, tokens.rows(), tokens.columns());
    Ok(Tensor::from_slice(tokens.entries(), shape, &candle_core::Device::Cpu)?)
}

/// The layer's only head.
fn one_head(matrices: &[HeadMatrices], tokens: &Matrix) -> anyhow::Result<Head> {
    let [matrices] = matrices else {
        anyhow::bail!("a scheme shows one head, found {}", matrices.len());
    };
    Ok(Head::project(tokens, matrices)?)
}

/// The layers of a stack and the prompt's tokens.
pub(crate) fn layers(
    settings: &Settings,
    residual: bool,
    device: Device,
) -> anyhow::Result<(Vec<TransformerLayer>, Matrix)> {
    let stack = StackTraining::new(settings.stack(residual), &machine(device))?;
    let mut trainer = stack.trainer();
    trainer.run(&Unkept)?;
    let prompts = stack.validation(settings.prompt + 1);
    let flat = prompts.prompt(settings.prompt).into_iter().map(f64::from).collect();
    let tokens = Matrix::new(settings.n_demos + 1, settings.d_t + 1, flat)?;
    Ok((stack.layers(trainer.parameters(), DType::F64)?, tokens))
}

/// The numbers of one Transformer layer with one head, and of its tokens, in `f64`.
pub(crate) struct LayerNumbers {
    tokens: Matrix,
    pub(crate) head: Head,
    w_1: Matrix,
    b_1: Vec<f64>,
    w_2: Matrix,
    b_2: Vec<f64>,
}

impl LayerNumbers {
    /// Projects the tokens with the layer's weights.
    pub(crate) fn new(layer: &TransformerLayer, tokens: &Matrix) -> anyhow::Result<Self> {
        let (d, d_ff) = (layer.shape.d, layer.d_ff);
        let array = |name: &str, shape: &[usize]| -> anyhow::Result<Vec<f64>> {
            Ok(layer.weights.get(shape, name)?.flatten_all()?.to_vec1()?)
        };
        let (b_1, b_2) = (array("b_1", &[d_ff])?, array("b_2", &[d])?);
        Ok(Self {
            tokens: tokens.clone(),
            head: one_head(&heads::of_weights(&layer.weights, layer.shape)?, tokens)?,
            w_1: Matrix::new(d_ff, d, array("w_1", &[d_ff, d])?)?,
            w_2: Matrix::new(d, d_ff, array("w_2", &[d, d_ff])?)?,
            b_1,
            b_2,
        })
    }

    /// Features that are exact on the layer's keys.
    pub(crate) fn features(&self) -> Exact {
        Exact::new(self.head.keys.iter_rows())
    }

    /// `W_1 a + b_1`.
    pub(crate) fn hidden(&self, a: &[f64]) -> Vec<f64> {
        self.w_1.iter_rows().zip(&self.b_1).map(|(row, b)| order::dot(row, a) + b).collect()
    }

    /// `W_2 S W_1 v`.
    pub(crate) fn through(&self, v: &[f64], mask: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> =
            self.w_1.iter_rows().zip(mask).map(|(row, on)| on * order::dot(row, v)).collect();
        self.w_2.iter_rows().map(|row| order::dot(row, &hidden)).collect()
    }

    /// `W_2 S b_1 + b_2`.
    pub(crate) fn constant(&self, mask: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> = self.b_1.iter().zip(mask).map(|(b, on)| b * on).collect();
        self.w_2.iter_rows().zip(&self.b_2).map(|(row, b)| order::dot(row, &hidden) + b).collect()
    }

    /// The token after a layer with residual paths: `a = x + h'`, `a + W_2 relu(W_1 a + b_1) + b_2`.
    pub(crate) fn after_attention(&self, x: &[f64], attention: &[f64]) -> Vec<f64> {
        let a: Vec<f64> = x.iter().zip(attention).map(|(x, h)| x + h).collect();
        let mask: Vec<f64> =
            self.hidden(&a).iter().map(|p| f64::from(u8::from(*p > 0.0))).collect();
        let (linear, constant) = (self.through(&a, &mask), self.constant(&mask));
        a.iter().zip(linear).zip(constant).map(|((a, l), c)| a + l + c).collect()
    }

    /// `h'` and output for the query token by candle.
    pub(crate) fn candle(
        &self,
        layer: &TransformerLayer,
        n_demos: usize,
    ) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let (tokens, kernel) = (tensor(&self.tokens)?, Kernel::Softmax);
        let modification = layer.modification.as_ref();
        let attention = Layer { shape: layer.shape, modification, kernel: &kernel };
        let attended = attention.forward(&layer.weights, &tokens, n_demos, &Mask::None)?.output;
        let last = attended.narrow(1, n_demos, 1)?.flatten_all()?.to_vec1()?;
        Ok((last, layer.query_forward(&tokens)?.flatten_all()?.to_vec1()?))
    }

    /// Every token after the layer by candle.
    pub(crate) fn candle_all(
        &self,
        layer: &TransformerLayer,
        n_demos: usize,
    ) -> anyhow::Result<Matrix> {
        let out = layer.forward(&tensor(&self.tokens)?, n_demos, &Mask::None)?;
        let entries = out.flatten_all()?.to_vec1()?;
        Ok(Matrix::new(self.tokens.rows(), self.tokens.columns(), entries)?)
    }
}
