//! The cells: one trained stack each, and the constants of descent for one kind of inputs.

use super::constants::{Family, Step};
use super::moments::Moments;
use super::{Settings, inputs_name};
use crate::cells::{Kept, machine};
use crate::named::Named as _;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::statistics::standard_error;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::device::Device;
use icl_model::linear_stack::LinearStackTraining;
use icl_model::machine::Machine;
use icl_model::objective::Set;
use icl_model::settings::LinearStackSettings;
use icl_numerics::lanes::Isa;
use icl_numerics::order;
use icl_numerics::threads::Threads;
use serde_json::json;

/// Columns of a trained stack's result.
///
/// `loss` is `E (error)^2` with its standard error over demonstrations; `first_step` is the step size of the first layer
/// in whitened inputs, `-tr(D Q D)/d`, and `first_deviation` the rest of that map, relative to the step.
fn schema() -> Schema {
    let integers = ["layers", "seed"].map(|name| (name.to_owned(), ColumnType::Integer));
    let floats = ["loss", "loss_error", "first_step", "first_deviation"]
        .map(|name| (name.to_owned(), ColumnType::Float));
    let inputs = ("inputs".to_owned(), ColumnType::Text);
    std::iter::once(inputs).chain(integers).chain(floats).collect()
}

/// Name of a trained stack's cell.
pub(super) fn trained_name(scales: &[f64], layers: usize, seed: u64) -> String {
    format!("{}/{layers}/{seed}", inputs_name(scales))
}

/// A cell that trains one stack.
pub(super) fn trained(train: LinearStackSettings, n_final: usize, device: Device) -> Cell {
    let per_set = 200.0 * train.n_demos as f64 + 4000.0 * train.layers as f64;
    let weight = per_set * (train.steps * train.batch + n_final) as f64 / 1e9;
    Cell::new(
        trained_name(&train.scales, train.layers, train.seed),
        weight,
        json!({ "kind": "linear-depth/1", "settings": train, "n_final": n_final }),
        schema(),
        move |context| {
            let training = LinearStackTraining::new(train.clone(), &machine(device))?;
            let mut trainer = training.trainer();
            trainer.run(&Kept::new(context)?)?;
            let parameters = trainer.parameters();
            let halves = training.objective().losses(parameters.packed(), Set::Test, n_final)?;
            let losses: Vec<f64> = halves.values.iter().map(|half| 2.0 * half).collect();
            let q = parameters.get("0.q").context("the first layer has no `q`")?;
            let [step, deviation] = whitened_step(q, &train.scales);
            let table = Table::builder("runs")
                .texts("inputs", &[inputs_name(&train.scales)])
                .integers("layers", vec![train.layers as i64])
                .integers("seed", vec![train.seed as i64])
                .floats("loss", vec![order::sum(&losses) / n_final as f64])
                .floats("loss_error", vec![standard_error(&losses)])
                .floats("first_step", vec![step])
                .floats("first_deviation", vec![deviation])
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// The mean diagonal entry of `-D Q D`, and the norm of what is left without it, relative to its own.
fn whitened_step(q: &[f32], scales: &[f64]) -> [f64; 2] {
    let d = scales.len();
    let entry = |ij: usize| -f64::from(q[ij]) * scales[ij / d] * scales[ij % d];
    let diagonal: Vec<f64> = (0..d).map(|i| entry(i * d + i)).collect();
    let step = order::sum(&diagonal) / d as f64;
    let rest: Vec<f64> =
        (0..d * d).map(|ij| entry(ij) - if ij / d == ij % d { step } else { 0.0 }).collect();
    [step, order::sum_of_squares(&rest).sqrt() / (step.abs() * (d as f64).sqrt())]
}

/// Columns of the constants: one row for every step of every optimum of every family and depth, with its loss.
fn descent_schema() -> Schema {
    let texts = ["inputs", "family"].map(|name| (name.to_owned(), ColumnType::Text));
    let integers = ["layers", "optimum", "step"].map(|name| (name.to_owned(), ColumnType::Integer));
    let floats = ["eta", "gamma", "loss"].map(|name| (name.to_owned(), ColumnType::Float));
    texts.into_iter().chain(integers).chain(floats).collect()
}

/// Name of the cell of the constants.
pub(super) fn descent_name(scales: &[f64]) -> String {
    format!("{}/descent", inputs_name(scales))
}

/// A cell that tunes the constants on the validation prompts and evaluates them on the prompts of the layers.
pub(super) fn descent(settings: &Settings, scales: &[f64], layers: &[usize]) -> Cell {
    let (n_final, tuning) = (settings.n_final, settings.tuning_prompts);
    let (scales, layers) = (scales.to_vec(), layers.to_vec());
    let train = settings.train(&scales, 1, 0);
    Cell::new(
        descent_name(&scales),
        (n_final + 50 * tuning) as f64 / 1e5,
        json!({
            "kind": "linear-depth/descent/1", "scales": scales, "layers": layers, "n_final": n_final,
            "n_demos": train.n_demos, "tuning_prompts": tuning
        }),
        descent_schema(),
        move |_| {
            // the processor's own sums, on every machine
            let own = Machine::cpu(Isa::detect(), Threads::One);
            let training = LinearStackTraining::new(train.clone(), &own)?;
            let tuning = Moments::new(training.prompts(Set::Validation), tuning);
            let last = Moments::new(training.prompts(Set::Test), n_final);
            let mut rows = Vec::new();
            for depth in &layers {
                for family in Family::ALL {
                    rows.extend(constants(*family, *depth, &scales, &tuning, &last));
                }
            }
            table(&inputs_name(&scales), &rows)
        },
    )
}

/// A step of an optimum.
struct Row {
    family: Family,
    layers: usize,
    optimum: usize,
    step: usize,
    constants: Step,
    loss: f64,
}

fn constants(
    family: Family,
    layers: usize,
    scales: &[f64],
    tuning: &Moments,
    last: &Moments,
) -> Vec<Row> {
    let optima: Vec<(Vec<Step>, f64)> = match family {
        Family::Descent => {
            let eta = tuning.best_step(scales, layers);
            let steps = vec![Step { eta, gamma: 0.0 }; layers];
            vec![(steps, last.descent_loss(scales, eta, layers))]
        }
        Family::Preconditioned | Family::PlusPlus => {
            let optima = tuning.optima(family, layers).into_iter();
            optima.map(|steps| (steps.clone(), last.whitened_loss(&steps))).collect()
        }
    };
    let rows = |(optimum, (steps, loss)): (usize, (Vec<Step>, f64))| {
        let row = move |(step, constants): (usize, Step)| Row {
            family,
            layers,
            optimum: optimum + 1,
            step: step + 1,
            constants,
            loss,
        };
        steps.into_iter().enumerate().map(row).collect::<Vec<_>>()
    };
    optima.into_iter().enumerate().flat_map(rows).collect()
}

fn table(inputs: &str, rows: &[Row]) -> anyhow::Result<Table> {
    let integers = |of: fn(&Row) -> usize| rows.iter().map(|row| of(row) as i64).collect();
    let floats = |of: fn(&Row) -> f64| rows.iter().map(of).collect();
    let families: Vec<&str> = rows.iter().map(|row| row.family.name()).collect();
    let table = Table::builder("descent")
        .texts("inputs", &vec![inputs; rows.len()])
        .texts("family", &families)
        .integers("layers", integers(|row| row.layers))
        .integers("optimum", integers(|row| row.optimum))
        .integers("step", integers(|row| row.step))
        .floats("eta", floats(|row| row.constants.eta))
        .floats("gamma", floats(|row| row.constants.gamma))
        .floats("loss", floats(|row| row.loss))
        .build()?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiple_of_the_inverse_covariance_is_one_step_and_nothing_else() {
        let scales = [1.0, 0.5, 0.25];
        let mut q = vec![0.0; 9];
        for (i, scale) in scales.iter().enumerate() {
            q[i * 3 + i] = (-0.7 / (scale * scale)) as f32;
        }
        let [step, deviation] = whitened_step(&q, &scales);
        assert!((step - 0.7).abs() < 1e-6 && deviation < 1e-6, "{step} {deviation}");
        // one entry beside the diagonal, 0.35 in whitened inputs: half a step over the root of d
        q[1] = 0.7;
        let [_, deviation] = whitened_step(&q, &scales);
        assert!((deviation - 0.5 / 3.0_f64.sqrt()).abs() < 1e-6, "{deviation}");
    }
}
