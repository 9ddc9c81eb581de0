//! What is exported: every run, the constants, and one row for every depth.

use super::constants::Family;
use super::{Settings, inputs_name, runs};
use crate::named::Named as _;
use artifact::cell::Results;
use artifact::statistics::interval;
use artifact::table::Table;

/// All trained stacks.
pub(super) fn runs(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let mut names = Vec::new();
    for (scales, layers) in settings.inputs() {
        for depth in layers {
            names.extend((0..settings.seeds).map(|seed| runs::trained_name(scales, *depth, seed)));
        }
    }
    Ok(Table::stack("runs", results.each(names)?)?)
}

/// All constants.
pub(super) fn descent(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let names = settings.scales.iter().map(|scales| runs::descent_name(scales));
    Ok(Table::stack("descent", results.each(names)?)?)
}

/// A column of the trained stacks of one depth, seed by seed.
pub(super) fn column(
    runs: &Table,
    scales: &[f64],
    depth: usize,
    name: &str,
) -> anyhow::Result<Vec<f64>> {
    let (inputs, layers) = (runs.texts("inputs")?, runs.integers("layers")?);
    let (values, wanted) = (runs.floats(name)?, inputs_name(scales));
    let rows = 0..runs.rows();
    let own = rows.filter(|row| inputs[*row] == wanted && layers[*row] == depth as i64);
    Ok(own.map(|row| values[row]).collect())
}

/// Losses of the optima of a family at a depth, the best first.
pub(super) fn optima(
    descent: &Table,
    scales: &[f64],
    family: Family,
    depth: usize,
) -> anyhow::Result<Vec<f64>> {
    let (inputs, families) = (descent.texts("inputs")?, descent.texts("family")?);
    let (layers, steps) = (descent.integers("layers")?, descent.integers("step")?);
    let (losses, wanted) = (descent.floats("loss")?, inputs_name(scales));
    let own = |row: &usize| {
        let same = inputs[*row] == wanted && families[*row] == family.name();
        same && layers[*row] == depth as i64 && steps[*row] == 1
    };
    Ok((0..descent.rows()).filter(own).map(|row| losses[row]).collect())
}

/// For every kind of inputs and depth: mean loss over seeds with its interval, and the best of every family.
pub(super) fn depth(settings: &Settings, runs: &Table, descent: &Table) -> anyhow::Result<Table> {
    let (mut inputs, mut depths) = (Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 6] = Default::default();
    for (scales, layers) in settings.inputs() {
        for depth in layers {
            let mean = interval::mean(&column(runs, scales, *depth, "loss")?)?;
            let best = |family| -> anyhow::Result<f64> {
                let all = optima(descent, scales, family, *depth)?;
                Ok(all.into_iter().next().unwrap_or(f64::NAN))
            };
            inputs.push(inputs_name(scales));
            depths.push(*depth as i64);
            let row = [
                mean.mean,
                mean.lower,
                mean.upper,
                best(Family::Descent)?,
                best(Family::Preconditioned)?,
                best(Family::PlusPlus)?,
            ];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let names = ["loss", "lower", "upper", "descent", "preconditioned", "plus_plus"];
    let mut builder = Table::builder("depth").texts("inputs", &inputs).integers("layers", depths);
    for (name, column) in names.into_iter().zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}
