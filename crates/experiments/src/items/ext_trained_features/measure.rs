//! Errors of the query's row over draws of the features, beside what is predicted.

use super::Settings;
use super::layer::{Run, Variant, mean_z, quantile};
use crate::views::base_layer;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{Attended, FirstOrder, Row};
use dual_model::feature_map::{self, Entry, Estimate, FeatureMap, Setting};
use dual_model::head::Head;
use icl_model::device::Device;
use icl_numerics::order;
use icl_numerics::stream::Stream;

const INTEGERS: [&str; 4] = ["seed", "step", "d_r", "draws"];
/// Mean squares over prompts of weights and outputs and of their errors over draws, as measured and as predicted; then, in the
/// median prompt, the root of the weights' mean square error relative to them, both; and the share of negative normalisers.
const FLOATS: [&str; 9] = [
    "matrix_square",
    "output_square",
    "matrix_mse",
    "output_mse",
    "matrix_predicted",
    "output_predicted",
    "median",
    "median_predicted",
    "negative",
];

pub(super) fn schema() -> Schema {
    let text = ["variant", "map"].map(|name| (name.to_owned(), ColumnType::Text));
    let integer = INTEGERS.map(|name| (name.to_owned(), ColumnType::Integer));
    let float = FLOATS.map(|name| (name.to_owned(), ColumnType::Float));
    text.into_iter().chain(integer).chain(float).collect()
}

/// Maps that are measured: all but the exact one.
pub(super) fn maps() -> impl Iterator<Item = &'static Entry> {
    feature_map::ALL.iter().filter(|entry| entry.estimate != Estimate::Exact)
}

/// Heads of all prompts, and what a map needs to know of them.
pub(super) struct Prompts {
    heads: Vec<Head>,
    exact: Vec<Attended>,
    mean_z: f64,
}

impl Prompts {
    pub(super) fn new(heads: Vec<Head>) -> Self {
        let exact = heads.iter().map(|head| query_row(head).softmax()).collect();
        let mean_z = mean_z(&heads);
        Self { heads, exact, mean_z }
    }

    /// The row of every prompt's query with its exact attention.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Row<'_>, &Attended)> {
        self.heads.iter().map(query_row).zip(&self.exact)
    }

    /// Size of a key.
    pub(super) fn d(&self) -> usize {
        self.heads.first().map_or(0, |head| head.keys.columns())
    }

    /// The map of a draw.
    pub(super) fn map(
        &self,
        id: &str,
        d_r: usize,
        draw: u64,
    ) -> anyhow::Result<Box<dyn FeatureMap>> {
        let stream = Stream::new(draw, &format!("trained-features/omega/{d_r}"));
        let setting = Setting { stream: &stream, d_r, d: self.d(), mean_z: self.mean_z, keys: &[] };
        Ok(feature_map::parse(id)?.build(&setting)?)
    }
}

/// Attention of a prompt's query.
fn query_row(head: &Head) -> Row<'_> {
    base_layer::row(head, head.n_tokens() - 1)
}

/// Squared errors of weights and output.
pub(super) fn squares(by: &Attended, exact: &Attended) -> [f64; 2] {
    let square = |a: &[f64], b: &[f64]| {
        let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        order::sum_of_squares(&gaps)
    };
    [square(&by.weights, &exact.weights), square(&by.output, &exact.output)]
}

/// Mean squares over draws of one prompt's errors, and its share of negative normalisers.
#[derive(Debug, Default, Clone, Copy)]
struct OfPrompt {
    squares: [f64; 2],
    negative: f64,
}

/// What is measured of every prompt, and in how many draws: one if nothing is drawn.
fn measured(
    prompts: &Prompts,
    map: &Entry,
    d_r: usize,
    draws: usize,
) -> anyhow::Result<(Vec<OfPrompt>, usize)> {
    let draws = if map.estimate == Estimate::Unbiased { draws } else { 1 };
    let mut all = vec![OfPrompt::default(); prompts.heads.len()];
    for draw in 0..draws {
        let built = prompts.map(map.id, d_r, draw as u64)?;
        for ((row, exact), own) in prompts.rows().zip(&mut all) {
            let phi = built.query_features(row.query);
            let kernel: Vec<f64> =
                row.keys.iter().map(|key| order::dot(&built.key_features(key), &phi)).collect();
            own.negative += f64::from(u8::from(order::sum(&kernel) < 0.0)) / draws as f64;
            let error = squares(&row.normalised(kernel), exact);
            own.squares.iter_mut().zip(error).for_each(|(sum, x)| *sum += x / draws as f64);
        }
    }
    Ok((all, draws))
}

/// First order of weights and output; what the stated kernel makes where nothing is drawn.
fn predicted(
    map: &dyn FeatureMap,
    estimate: Estimate,
    row: &Row<'_>,
    exact: &Attended,
) -> anyhow::Result<[f64; 2]> {
    if estimate != Estimate::Unbiased {
        let kernel = row.keys.iter().map(|key| map.kernel(row.query, key)).collect();
        return Ok(squares(&row.normalised(kernel), exact));
    }
    let first = FirstOrder::new(map, row);
    let first = first.ok_or_else(|| anyhow::anyhow!("a random map states no moments"))?;
    Ok([order::sum(&first.weights), first.output])
}

/// The median.
fn median(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    quantile(&sample, 0.5)
}

/// Draws and floats of a row of the table.
fn summary(
    prompts: &Prompts,
    map: &Entry,
    d_r: usize,
    draws: usize,
) -> anyhow::Result<(usize, [f64; 9])> {
    let (all, draws) = measured(prompts, map, d_r, draws)?;
    let built = prompts.map(map.id, d_r, 0)?;
    let mut row = [0.0; 9];
    let (mut relative, mut relative_predicted) = (Vec::new(), Vec::new());
    for ((of, exact), own) in prompts.rows().zip(&all) {
        let first = predicted(built.as_ref(), map.estimate, &of, exact)?;
        let whole = [&exact.weights, &exact.output].map(|x| order::sum_of_squares(x));
        let terms = [whole, own.squares, first].concat();
        row.iter_mut().zip(terms).for_each(|(sum, x)| *sum += x / all.len() as f64);
        row[8] += own.negative / all.len() as f64;
        relative.push((own.squares[0] / whole[0]).sqrt());
        relative_predicted.push((first[0] / whole[0]).sqrt());
    }
    (row[6], row[7]) = (median(relative), median(relative_predicted));
    Ok((draws, row))
}

/// Errors of one seed: at the start and at the end as trained, at the end balanced and centred.
pub(super) fn measure(settings: &Settings, seed: u64, device: Device) -> anyhow::Result<Table> {
    let run = Run::new(settings, seed, &[0, settings.steps], settings.prompts, device)?;
    let [start, end] = [&run.snapshots[0], &run.snapshots[1]];
    let (mut variants, mut names) = (Vec::new(), Vec::new());
    let mut integers: [Vec<i64>; 4] = Default::default();
    let mut floats: [Vec<f64>; 9] = Default::default();
    for (at, variant) in
        [(start, Variant::AsTrained), (end, Variant::AsTrained), (end, Variant::BalancedCentred)]
    {
        let prompts = Prompts::new(run.heads(at, variant)?);
        for map in maps() {
            for d_r in &settings.features {
                let (draws, row) = summary(&prompts, map, *d_r, settings.draws)?;
                variants.push(variant.name());
                names.push(map.id);
                let of = [seed as usize, at.step, *d_r, draws];
                integers.iter_mut().zip(of).for_each(|(column, x)| column.push(x as i64));
                floats.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
            }
        }
    }
    let mut builder = Table::builder("measured").texts("variant", &variants).texts("map", &names);
    for (name, column) in INTEGERS.into_iter().zip(integers) {
        builder = builder.integers(name, column);
    }
    for (name, column) in FLOATS.into_iter().zip(floats) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}
