//! Claims of the figure: the rate where theory gives one, and how far the layer is from it.

use super::measure::PROMPTS;
use super::{ITEM, ROWS, Settings};
use artifact::claim::{Claim, Place, Side, over_seeds};
use artifact::statistics::interval;
use artifact::table::Table;
use icl_numerics::{math, order};

/// Entries of a column where the number of features is `d_r`.
fn at(table: &Table, d_r: usize, column: &str) -> anyhow::Result<Vec<f64>> {
    let features = table.integers("features")?;
    let values = table.floats(column)?;
    let own = features.iter().zip(values).filter(|(features, _)| **features == d_r as i64);
    Ok(own.map(|(_, x)| x).collect())
}

/// The first and the last number of features of the slope.
fn decade(settings: &Settings) -> [usize; 2] {
    let all = &settings.features;
    [all[all.len() - 2], all[all.len() - 1]]
}

/// Slope of every prompt's error between the last two numbers of features, on logarithmic axes.
fn slopes(settings: &Settings, prompts: &Table) -> anyhow::Result<Vec<f64>> {
    let [before, after] = decade(settings);
    let width = math::ln(after as f64 / before as f64);
    let (low, high) =
        (at(prompts, before, "relative_error")?, at(prompts, after, "relative_error")?);
    Ok(low.iter().zip(&high).map(|(low, high)| math::ln(high / low) / width).collect())
}

/// Share of a prompt's rows whose predicted error with the most features exceeds the row itself.
fn hopeless(settings: &Settings, rows: &Table) -> anyhow::Result<Vec<f64>> {
    let [_, most] = decade(settings);
    let (predicted, own) = (at(rows, most, "predicted")?, at(rows, most, "weights")?);
    let beyond: Vec<f64> =
        predicted.iter().zip(&own).map(|(p, own)| f64::from(u8::from(p > own))).collect();
    let n = settings.n_demos + 1;
    Ok(beyond.chunks_exact(n).map(|rows| order::sum(rows) / n as f64).collect())
}

pub(super) fn claims(
    settings: &Settings,
    rows: &Table,
    prompts: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let [before, after] = decade(settings);
    let slope = interval::mean(&slopes(settings, prompts)?)?;
    let share = interval::mean(&hopeless(settings, rows)?)?;
    let place = |claim, table| Place { item: ITEM.id, claim, table };
    let of_slope = format!(
        "Slope of the matrix's error against d_r from {before} to {after} features, mean over prompts: first order says -1/2"
    );
    let of_share = format!(
        "Share of rows whose predicted error with {after} features exceeds the row itself, so that no rate is to be expected"
    );
    Ok(vec![
        over_seeds(place("approach", PROMPTS), &of_slope, slope, Side::AtMost, 0.0),
        over_seeds(place("slower", PROMPTS), &of_slope, slope, Side::AtLeast, -0.25),
        over_seeds(place("too-few", ROWS), &of_share, share, Side::AtLeast, 0.5),
    ])
}
