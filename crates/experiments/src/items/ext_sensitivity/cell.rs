//! One training run, and the distance of its layer from its dual.

use crate::cells::{Kept, machine, training};
use crate::views::modified::ModifiedDual;
use anyhow::Context as _;
use artifact::cell::{self, Cell};
use artifact::table::{ColumnType, Table};
use candle_core::DType;
use dual_model::Matrix;
use icl_model::attention::{self, Parameters};
use icl_model::device::Device;
use icl_model::objective::Set;
use icl_model::reference::Layer;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use serde_json::json;

/// Test loss over `E[s^2]`, twice.
pub(super) const LOSS: &str = "relative_loss";
/// Largest distance of the dual's prediction from attention's output, relative to the output's largest entry.
pub(super) const IDENTITY: &str = "identity";

/// Name of a cell.
pub(super) fn name(variation: &str, modification: &str, seed: u64) -> String {
    format!("{variation}/{modification}/{seed}")
}

/// Name of the cell of a variation's references.
pub(super) fn references(variation: &str) -> String {
    format!("{variation}/references")
}

/// A cell that trains, evaluates on `n_final` prompts, and compares layer and dual on `prompts` others.
pub(super) fn cell(
    name: String,
    train: TrainSettings,
    [n_final, prompts]: [usize; 2],
    device: Device,
) -> Cell {
    Cell::new(
        name,
        training::weight(&train, n_final),
        json!({ "kind": "sensitivity/1", "settings": train, "n_final": n_final, "prompts": prompts }),
        vec![(LOSS.into(), ColumnType::Float), (IDENTITY.into(), ColumnType::Float)],
        move |context| measure(context, &train, [n_final, prompts], device),
    )
}

fn measure(
    context: &cell::Context<'_>,
    train: &TrainSettings,
    [n_final, prompts]: [usize; 2],
    device: Device,
) -> anyhow::Result<Table> {
    let layer = LayerTraining::new(train.clone(), &machine(device))?;
    let mut trainer = layer.trainer();
    let context = training::training_part(context, train, n_final);
    trainer.run(&Kept::new(&context)?)?;
    let last = trainer.evaluate(Set::Test, n_final)?;
    let table = Table::builder("run")
        .floats(LOSS, vec![last.nmse()])
        .floats(IDENTITY, vec![identity(&layer, trainer.parameters(), prompts, device)?])
        .build()?;
    Ok(table)
}

/// The layer by candle and its dual from the same parameters, both in `f64`.
fn identity(
    layer: &LayerTraining,
    parameters: &Parameters,
    prompts: usize,
    device: Device,
) -> anyhow::Result<f64> {
    let settings = layer.settings();
    let (shape, d) = (settings.shape(), settings.prompt.d());
    let modification = attention::parse(&settings.modification)?;
    let terms = modification.terms().context("a modification without a dual")?;
    let dual = ModifiedDual::new(parameters, d, terms)?;
    let validation = layer.validation();
    let tokens = validation.tokens_tensor(DType::F64, &device.candle()?)?.narrow(0, 0, prompts)?;
    let reference = Layer { shape, modification: modification.as_ref(), kernel: layer.kernel() };
    let weights = parameters.weights(DType::F64, device)?;
    let attention: Vec<Vec<f64>> = reference.query_output(&weights, &tokens)?.to_vec2()?;
    let distance = |(p, attention): (usize, &Vec<f64>)| -> anyhow::Result<f64> {
        let tokens: Vec<f64> = validation.prompt(p).into_iter().map(f64::from).collect();
        let tokens = Matrix::new(tokens.len() / d, d, tokens)?;
        let predicted = dual.predict(&tokens, layer.kernel())?;
        let size = largest::magnitude(attention.iter().copied());
        Ok(largest::difference(&predicted, attention) / size)
    };
    let distances: Vec<f64> =
        attention.iter().enumerate().map(distance).collect::<anyhow::Result<_>>()?;
    Ok(largest::value(distances))
}
