//! `z` along the training, and how many features an error of a tenth would need, from first order alone.

use super::Settings;
use super::layer::{Run, Snapshot, Variant, quantile, z};
use super::measure::{Prompts, maps};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{Attended, FirstOrder, Row};
use dual_model::feature_map::{Entry, Estimate};
use icl_model::device::Device;
use icl_numerics::{largest, math, order};

/// Quantiles of `z` in the table.
pub(super) const SHARES: [(&str, f64); 5] =
    [("z_05", 0.05), ("z_25", 0.25), ("z_50", 0.5), ("z_75", 0.75), ("z_95", 0.95)];

pub(super) fn z_schema() -> Schema {
    let mut schema = vec![
        ("variant".to_owned(), ColumnType::Text),
        ("seed".to_owned(), ColumnType::Integer),
        ("step".to_owned(), ColumnType::Integer),
        ("relative_loss".to_owned(), ColumnType::Float),
    ];
    schema.extend(SHARES.map(|(name, _)| (name.to_owned(), ColumnType::Float)));
    schema
}

/// Quantiles of `z` of one seed at every checkpoint, for every variant.
pub(super) fn along(settings: &Settings, seed: u64, device: Device) -> anyhow::Result<Table> {
    let run = Run::new(settings, seed, &settings.checkpoints, settings.prompts, device)?;
    let (mut names, mut steps, mut losses) = (Vec::new(), Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 5] = Default::default();
    for at in &run.snapshots {
        for variant in Variant::ALL {
            let all = z(&run.heads(at, variant)?);
            names.push(variant.name());
            steps.push(at.step as i64);
            losses.push(at.loss);
            let row = SHARES.map(|(_, share)| quantile(&all, share));
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let mut builder = Table::builder("z")
        .texts("variant", &names)
        .integers("seed", vec![seed as i64; steps.len()])
        .integers("step", steps)
        .floats("relative_loss", losses);
    for ((name, _), column) in SHARES.into_iter().zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

/// Columns: `log10` of the features needed for the error of the matrix and of the output, medians over prompts, and the
/// largest difference of the variant's exact weights to those of the layer as trained.
pub(super) fn schema() -> Schema {
    vec![
        ("variant".to_owned(), ColumnType::Text),
        ("map".to_owned(), ColumnType::Text),
        ("seed".to_owned(), ColumnType::Integer),
        ("matrix".to_owned(), ColumnType::Float),
        ("output".to_owned(), ColumnType::Float),
        ("difference".to_owned(), ColumnType::Float),
    ]
}

/// Features of the map whose moments are asked for; predictions are one over their number.
const REFERENCE: usize = 4800;
/// Highest order of a series that is tried.
const HIGHEST_ORDER: usize = 60;

/// `log10 d_r` for the median prompt's error of matrix and output, the latter relative to the outputs' root mean square.
fn random(prompts: &Prompts, map: &Entry, error: f64) -> anyhow::Result<[f64; 2]> {
    let built = prompts.map(map.id, REFERENCE, 0)?;
    let outputs: Vec<f64> =
        prompts.rows().map(|(_, exact)| order::sum_of_squares(&exact.output)).collect();
    let output = order::mean(&outputs).unwrap_or(f64::NAN);
    let mut squares: [Vec<f64>; 2] = Default::default();
    for (row, exact) in prompts.rows() {
        let first = FirstOrder::new(built.as_ref(), &row);
        let first = first.ok_or_else(|| anyhow::anyhow!("{} states no moments", map.id))?;
        let own = order::sum_of_squares(&exact.weights);
        squares[0].push(order::sum(&first.weights) / own);
        squares[1].push(first.output / output);
    }
    let needed = |squares: &Vec<f64>| {
        let mut squares = squares.clone();
        squares.sort_by(f64::total_cmp);
        math::log10(quantile(&squares, 0.5) * REFERENCE as f64 / (error * error))
    };
    Ok(squares.each_ref().map(needed))
}

/// `sum_{k <= p} s^k / k!` for all orders up to the highest.
fn series(s: f64) -> Vec<f64> {
    let (mut term, mut sum) = (1.0, 1.0);
    let next = |k: usize| {
        if k > 0 {
            term *= s / k as f64;
            sum += term;
        }
        sum
    };
    (0..=HIGHEST_ORDER).map(next).collect()
}

/// Errors of a row by the series of every order: of the weights relative to them, and of the output.
fn by_order(row: &Row<'_>, exact: &Attended) -> Vec<[f64; 2]> {
    let kernels: Vec<Vec<f64>> =
        row.keys.iter().map(|key| series(order::dot(key, row.query))).collect();
    let error = |p: usize| {
        let by = row.normalised(kernels.iter().map(|kernel| kernel[p]).collect());
        let gap = |a: &[f64], b: &[f64]| {
            let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            order::sum_of_squares(&gaps).sqrt()
        };
        let own = order::sum_of_squares(&exact.weights).sqrt();
        [gap(&by.weights, &exact.weights) / own, gap(&by.output, &exact.output)]
    };
    (0..=HIGHEST_ORDER).map(error).collect()
}

/// `log10` of the number of monomials up to the order `p` of `d` variables.
fn monomials(d: usize, p: usize) -> f64 {
    (1..=p).map(|i| math::log10((d + i) as f64 / i as f64)).sum()
}

/// `log10` of the monomials up to the first order from which on the median prompt's error is small enough.
fn taylor(prompts: &Prompts, error: f64) -> [f64; 2] {
    let all: Vec<Vec<[f64; 2]>> =
        prompts.rows().map(|(row, exact)| by_order(&row, exact)).collect();
    let outputs: Vec<f64> =
        prompts.rows().map(|(_, exact)| order::sum_of_squares(&exact.output)).collect();
    let output = order::mean(&outputs).unwrap_or(f64::NAN).sqrt();
    let median = |p: usize, i: usize| {
        let mut errors: Vec<f64> = all.iter().map(|orders| orders[p][i]).collect();
        errors.sort_by(f64::total_cmp);
        quantile(&errors, 0.5)
    };
    [(0, error), (1, error * output)].map(|(i, allowed)| {
        let too_few =
            (0..=HIGHEST_ORDER).rev().find(|p| median(*p, i).is_nan() || median(*p, i) > allowed);
        monomials(prompts.d(), too_few.map_or(0, |p| p + 1))
    })
}

/// Features that one seed's trained layer needs, for every variant and map.
pub(super) fn needed(settings: &Settings, seed: u64, device: Device) -> anyhow::Result<Table> {
    let run = Run::new(settings, seed, &[settings.steps], settings.prompts, device)?;
    let end: &Snapshot = &run.snapshots[0];
    let plain = Prompts::new(run.heads(end, Variant::AsTrained)?);
    let (mut variants, mut names) = (Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 3] = Default::default();
    for variant in Variant::ALL {
        let prompts = Prompts::new(run.heads(end, variant)?);
        let gap = |(own, plain): (&Attended, &Attended)| {
            largest::difference(&own.weights, &plain.weights)
        };
        let pairs =
            prompts.rows().map(|(_, exact)| exact).zip(plain.rows().map(|(_, exact)| exact));
        let difference = largest::value(pairs.map(gap));
        for map in maps() {
            let [matrix, output] = match map.estimate {
                Estimate::Unbiased => random(&prompts, map, settings.error)?,
                _ => taylor(&prompts, settings.error),
            };
            variants.push(variant.name());
            names.push(map.id);
            let row = [matrix, output, difference];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let [matrix, output, difference] = columns;
    let table = Table::builder("needed")
        .texts("variant", &variants)
        .texts("map", &names)
        .integers("seed", vec![seed as i64; matrix.len()])
        .floats("matrix", matrix)
        .floats("output", output)
        .floats("difference", difference)
        .build()?;
    Ok(table)
}
