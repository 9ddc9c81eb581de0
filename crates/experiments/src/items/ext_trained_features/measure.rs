//! Errors of the query's row over draws of the features, beside what is predicted.

use super::Settings;
use super::layer::{Run, Variant, mean_z};
use crate::views::base_layer;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{Attended, FirstOrder, NextOrder, Row};
use dual_model::feature_map::{self, Entry, Estimate, FeatureMap, Setting};
use dual_model::head::Head;
use icl_model::device::Device;
use icl_numerics::order;
use icl_numerics::stream::Stream;

/// Largest relative change by the next order at which a prompt is held against the prediction.
pub(super) const LARGEST_NEXT: f64 = 0.1;

const INTEGERS: [&str; 5] = ["seed", "step", "d_r", "draws", "judged"];
/// Mean squares over prompts and draws; `median` is the median of a row's relative error. The `judged` prompts are those
/// whose next order is small; their sums of measured and predicted squares follow.
const FLOATS: [&str; 12] = [
    "matrix_square",
    "output_square",
    "matrix_mse",
    "output_mse",
    "matrix_predicted",
    "output_predicted",
    "median",
    "negative",
    "judged_matrix",
    "judged_matrix_predicted",
    "judged_output",
    "judged_output_predicted",
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
fn squares(by: &Attended, exact: &Attended) -> [f64; 2] {
    let square = |a: &[f64], b: &[f64]| {
        let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        order::sum_of_squares(&gaps)
    };
    [square(&by.weights, &exact.weights), square(&by.output, &exact.output)]
}

/// What is measured of one prompt.
#[derive(Default)]
struct OfPrompt {
    /// Sums over draws.
    sums: [f64; 2],
    negative: usize,
    /// Relative errors of the weights, draw by draw.
    relative: Vec<f64>,
}

/// Errors of every prompt over draws, and how many there were.
fn measured(
    prompts: &Prompts,
    map: &Entry,
    d_r: usize,
    draws: usize,
) -> anyhow::Result<(Vec<OfPrompt>, usize)> {
    let draws = if map.estimate == Estimate::Unbiased { draws } else { 1 };
    let mut all: Vec<OfPrompt> = prompts.heads.iter().map(|_| OfPrompt::default()).collect();
    for draw in 0..draws {
        let built = prompts.map(map.id, d_r, draw as u64)?;
        for ((row, exact), own) in prompts.rows().zip(&mut all) {
            let phi = built.query_features(row.query);
            let kernel: Vec<f64> =
                row.keys.iter().map(|key| order::dot(&built.key_features(key), &phi)).collect();
            own.negative += usize::from(order::sum(&kernel) < 0.0);
            let error = squares(&row.normalised(kernel), exact);
            own.sums.iter_mut().zip(error).for_each(|(sum, x)| *sum += x);
            own.relative.push((error[0] / order::sum_of_squares(&exact.weights)).sqrt());
        }
    }
    Ok((all, draws))
}

/// First order of weights and output, and whether the next is small.
fn predicted(
    map: &dyn FeatureMap,
    estimate: Estimate,
    row: &Row<'_>,
    exact: &Attended,
) -> anyhow::Result<([f64; 2], bool)> {
    if estimate != Estimate::Unbiased {
        let kernel = row.keys.iter().map(|key| map.kernel(row.query, key)).collect();
        return Ok((squares(&row.normalised(kernel), exact), true));
    }
    let missing = || anyhow::anyhow!("a random map states no moments");
    let first = FirstOrder::new(map, row).ok_or_else(missing)?;
    let next = NextOrder::new(map, row).ok_or_else(missing)?;
    Ok(([order::sum(&first.weights), first.output], next.largest() <= LARGEST_NEXT))
}

/// A row of the table.
fn summary(
    prompts: &Prompts,
    map: &Entry,
    d_r: usize,
    draws: usize,
) -> anyhow::Result<([i64; 2], [f64; 12])> {
    let (all, draws) = measured(prompts, map, d_r, draws)?;
    let built = prompts.map(map.id, d_r, 0)?;
    let (count, trials) = (all.len() as f64, draws as f64);
    let (mut row, mut judged) = ([0.0; 12], 0);
    for ((of, exact), own) in prompts.rows().zip(&all) {
        let (first, good) = predicted(built.as_ref(), map.estimate, &of, exact)?;
        let means = own.sums.map(|sum| sum / trials);
        row[0] += order::sum_of_squares(&exact.weights) / count;
        row[1] += order::sum_of_squares(&exact.output) / count;
        row[7] += own.negative as f64 / trials / count;
        for i in 0..2 {
            row[2 + i] += means[i] / count;
            row[4 + i] += first[i] / count;
            if good {
                row[8 + 2 * i] += means[i];
                row[9 + 2 * i] += first[i];
            }
        }
        judged += i64::from(good);
    }
    let mut relative: Vec<f64> = all.into_iter().flat_map(|own| own.relative).collect();
    relative.sort_by(f64::total_cmp);
    row[6] = relative[relative.len() / 2];
    Ok(([draws as i64, judged], row))
}

/// Errors of one seed: at the start and at the end as trained, at the end balanced and centred.
pub(super) fn measure(settings: &Settings, seed: u64, device: Device) -> anyhow::Result<Table> {
    let run = Run::new(settings, seed, &[0, settings.steps], settings.prompts, device)?;
    let [start, end] = [&run.snapshots[0], &run.snapshots[1]];
    let (mut variants, mut names) = (Vec::new(), Vec::new());
    let mut integers: [Vec<i64>; 5] = Default::default();
    let mut floats: [Vec<f64>; 12] = Default::default();
    for (at, variant) in
        [(start, Variant::AsTrained), (end, Variant::AsTrained), (end, Variant::BalancedCentred)]
    {
        let prompts = Prompts::new(run.heads(at, variant)?);
        for map in maps() {
            for d_r in &settings.features {
                let ([draws, judged], row) = summary(&prompts, map, *d_r, settings.draws)?;
                variants.push(variant.name());
                names.push(map.id);
                let of = [seed as i64, at.step as i64, *d_r as i64, draws, judged];
                integers.iter_mut().zip(of).for_each(|(column, x)| column.push(x));
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
