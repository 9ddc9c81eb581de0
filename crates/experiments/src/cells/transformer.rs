//! Cells of figures whose layer is a whole Transformer layer, or a stack.

use super::equivalence::{self, Curve, EXACT};
use super::orders::{OrderIndex, rotated_order};
use super::{Kept, machine, training};
use crate::views::heads;
use artifact::cell::{self, Cell};
use artifact::table::Table;
use candle_core::DType;
use dual_model::Matrix;
use dual_model::sequence::Visibility;
use dual_model::transformer::{LayerWeights, predict_stack};
use icl_model::device::Device;
use icl_model::mask::Mask;
use icl_model::reference::TransformerLayer;
use icl_model::settings::StackSettings;
use icl_model::training::StackTraining;
use icl_numerics::stream::Stream;
use serde_json::json;

/// A cell that trains with `settings` and evaluates on `n_final` prompts at the end; its result has the
/// columns of [`training::schema`].
///
/// # Errors
/// If a setting is out of range; nothing has been computed then.
pub(crate) fn training_cell(
    name: String,
    settings: StackSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Cell> {
    settings.check()?;
    icl_model::attention::parse(&settings.train.modification)?;
    Ok(Cell::new(
        name,
        weight(&settings, n_final),
        json!({
            "kind": "transformer-training/3", "settings": settings, "n_final": n_final
        }),
        training::schema(),
        move |context| train_one(context, &settings, n_final, device),
    ))
}

/// As [`training::weight`]; a layer with all its queries costs about ten times attention for one query.
fn weight(settings: &StackSettings, n_final: usize) -> f64 {
    10.0 * settings.layers as f64 * training::weight(&settings.train, n_final)
}

fn train_one(
    context: &cell::Context<'_>,
    settings: &StackSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let stack = StackTraining::new(settings.clone(), &machine(device))?;
    let context = training::training_part(context, &settings.train, n_final);
    training::watched(&context, &mut stack.trainer(), settings.train.steps, n_final)
}

/// Weight of the dual along its steps.
fn dual_weight(prompts: usize, orders: usize) -> f64 {
    (prompts * orders) as f64 / 500.0
}

/// A cell that trains and measures the dual of the last layer along its steps, for the query token.
pub(crate) fn curve_cell(
    name: String,
    settings: StackSettings,
    prompts: usize,
    orders: usize,
    device: Device,
) -> Cell {
    Cell::new(
        name,
        weight(&settings, 0) + dual_weight(prompts, orders),
        json!({
            "kind": "transformer-equivalence/3", "settings": settings, "prompts": prompts,
            "orders": orders
        }),
        equivalence::schema(),
        move |context| curve(context, &settings, prompts, orders, device),
    )
}

fn curve(
    context: &cell::Context<'_>,
    settings: &StackSettings,
    prompts: usize,
    orders: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let stack = StackTraining::new(settings.clone(), &machine(device))?;
    let mut trainer = stack.trainer();
    let trained = weight(settings, 0);
    let trained = trained / (trained + dual_weight(prompts, orders));
    trainer.run(&Kept::new(&context.part(0.0, trained))?)?;
    let n = settings.train.prompt.n_demos;
    let layers = stack.layers(trainer.parameters(), DType::F64)?;
    let duals: Vec<LayerWeights> = layers.iter().map(weights).collect::<anyhow::Result<_>>()?;
    let Some((last, before)) = duals.split_last() else { anyhow::bail!("no layer") };
    let validation = stack.validation(prompts);
    let stream = Stream::new(0, "dual/orders");
    let mut curve = Curve::new(n + 1, settings.train.prompt.label());
    for p in 0..prompts {
        let tokens: Vec<f64> = validation.prompt(p).into_iter().map(f64::from).collect();
        let output = candle_output(&layers, &tokens, n)?;
        let tokens = Matrix::new(n + 1, settings.train.prompt.d(), tokens)?;
        let tokens = predict_stack(before, &tokens, n, Visibility::All)?.pop().unwrap_or(tokens);
        for o in 0..orders {
            let index = OrderIndex { prompt: p, orders, order: o };
            let order = rotated_order(&stream, index, n);
            let steps = last.predict_along_steps(&tokens, n, n, &order)?;
            steps.iter().enumerate().for_each(|(i, f)| curve.record(i, f, &output));
        }
        let in_order: Vec<usize> = (0..n).collect();
        let steps = last.predict_along_steps(&tokens, n, n, &in_order)?;
        let increment = |pair: &[Vec<f64>]| -> Vec<f64> {
            pair[1].iter().zip(&pair[0]).map(|(after, before)| after - before).collect()
        };
        let increments: Vec<Vec<f64>> = steps.windows(2).map(increment).collect();
        curve.record_closed_form(&increments, &vec![0.0; output.len()]);
        context.part(trained, 1.0).advance((p + 1) as f64 / prompts as f64);
    }
    equivalence::to_table(&[(EXACT, curve)])
}

/// The stack's output for the query token by candle, in `f64`.
fn candle_output(
    layers: &[TransformerLayer],
    tokens: &[f64],
    n_demos: usize,
) -> anyhow::Result<Vec<f64>> {
    let Some((last, before)) = layers.split_last() else { anyhow::bail!("no layer") };
    let shape = (1, n_demos + 1, tokens.len() / (n_demos + 1));
    let mut tokens = candle_core::Tensor::from_slice(tokens, shape, &candle_core::Device::Cpu)?;
    for layer in before {
        tokens = layer.forward(&tokens, n_demos, &Mask::None)?;
    }
    Ok(last.query_forward(&tokens)?.flatten_all()?.to_vec1()?)
}

/// A candle layer's weights for the dual.
fn weights(layer: &TransformerLayer) -> anyhow::Result<LayerWeights> {
    let values = |name: &str, shape: &[usize]| -> anyhow::Result<Vec<f64>> {
        Ok(layer.weights.get(shape, name)?.flatten_all()?.to_vec1()?)
    };
    let (d, d_ff) = (layer.shape.d, layer.d_ff);
    Ok(LayerWeights {
        heads: heads::of_weights(&layer.weights, layer.shape)?,
        w_1: Matrix::new(d_ff, d, values("w_1", &[d_ff, d])?)?,
        b_1: values("b_1", &[d_ff])?,
        w_2: Matrix::new(d, d_ff, values("w_2", &[d, d_ff])?)?,
        b_2: values("b_2", &[d])?,
        residual: layer.residual,
        layer_norm: layer.layer_norm,
    })
}
