//! Claims of the figure: the rate where theory gives one, and how far the layer is from it.

use super::measure::PROMPTS;
use super::{ITEM, ROWS, Settings};
use artifact::claim::{Claim, Place, at_least, at_most, sampled};
use artifact::statistics::{around, standard_error};
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

/// Mean with its interval over prompts.
fn over_prompts(sample: &[f64]) -> (f64, [f64; 2]) {
    let mean = order::mean(sample).unwrap_or(f64::NAN);
    (mean, around(mean, standard_error(sample)))
}

pub(super) fn claims(
    settings: &Settings,
    rows: &Table,
    prompts: &Table,
) -> anyhow::Result<Vec<Claim>> {
    let [before, after] = decade(settings);
    let (slope, of_slope) = over_prompts(&slopes(settings, prompts)?);
    let (share, of_share) = over_prompts(&hopeless(settings, rows)?);
    let place = |claim, table| Place { item: ITEM.id, claim, table };
    let statement = format!(
        "Slope of the matrix's error against d_r from {before} to {after} features, mean over prompts: first order says -1/2"
    );
    Ok(vec![
        sampled(at_most(place("approach", PROMPTS), &statement, slope, 0.0), of_slope),
        sampled(at_least(place("slower", PROMPTS), &statement, slope, -0.25), of_slope),
        sampled(
            at_least(
                place("too-few", ROWS),
                &format!(
                    "Share of rows whose predicted error with {after} features exceeds the row itself, so that no rate is to be \
                     expected"
                ),
                share,
                0.5,
            ),
            of_share,
        ),
    ])
}
