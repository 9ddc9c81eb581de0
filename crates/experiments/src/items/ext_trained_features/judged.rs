//! Predictions held against many draws, on the prompts where the next order says that the first is good.

use super::Settings;
use super::layer::{Run, Variant};
use super::measure::{Prompts, maps, squares};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{FirstOrder, Row};
use dual_model::feature_map::{Entry, Estimate};
use icl_model::device::Device;
use icl_numerics::order;

/// Largest relative change of a mean square by the next order.
const LARGEST_NEXT: f64 = 0.1;

const FLOATS: [&str; 4] = ["matrix", "matrix_predicted", "output", "output_predicted"];

/// Columns: how many of how many prompts are judged with how many draws, and the sums of their measured and predicted mean
/// squares.
pub(super) fn schema() -> Schema {
    let mut schema = vec![("map".to_owned(), ColumnType::Text)];
    let integer = ["seed", "d_r", "prompts", "judged", "draws"];
    schema.extend(integer.map(|name| (name.to_owned(), ColumnType::Integer)));
    schema.extend(FLOATS.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

/// Prompts whose next order is small, at most so many, with what first order says of them.
fn chosen(
    prompts: &Prompts,
    map: &Entry,
    d_r: usize,
    most: usize,
) -> anyhow::Result<Vec<(usize, [f64; 2])>> {
    let built = prompts.map(map.id, d_r, 0)?;
    let mut chosen = Vec::new();
    for (i, (row, _)) in prompts.rows().enumerate() {
        if chosen.len() == most {
            break;
        }
        let both = FirstOrder::with_next(built.as_ref(), &row);
        let (first, next) = both.ok_or_else(|| anyhow::anyhow!("{} states no moments", map.id))?;
        if next.largest() <= LARGEST_NEXT {
            chosen.push((i, [order::sum(&first.weights), first.output]));
        }
    }
    Ok(chosen)
}

/// Sums over the chosen prompts of mean squares over draws.
fn measured(
    prompts: &Prompts,
    map: &Entry,
    [d_r, draws]: [usize; 2],
    chosen: &[(usize, [f64; 2])],
) -> anyhow::Result<[f64; 2]> {
    let rows: Vec<(Row<'_>, _)> = prompts.rows().collect();
    let mut sums = [0.0; 2];
    for draw in 0..draws {
        let built = prompts.map(map.id, d_r, draw as u64)?;
        for (i, _) in chosen {
            let (row, exact) = &rows[*i];
            let error = squares(&row.by_features(built.as_ref()), exact);
            sums.iter_mut().zip(error).for_each(|(sum, x)| *sum += x / draws as f64);
        }
    }
    Ok(sums)
}

/// Every random map before the training, where `z` is small enough for it.
pub(super) fn judged(settings: &Settings, seed: u64, device: Device) -> anyhow::Result<Table> {
    let run = Run::new(settings, seed, &[0], settings.judged_among, device)?;
    let prompts = Prompts::new(run.heads(&run.snapshots[0], Variant::AsTrained)?);
    let d_r = settings.features[settings.features.len() - 1];
    let (mut names, mut counts) = (Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 4] = Default::default();
    for map in maps().filter(|map| map.estimate == Estimate::Unbiased) {
        let chosen = chosen(&prompts, map, d_r, settings.judged)?;
        let [matrix, output] = measured(&prompts, map, [d_r, settings.judged_draws], &chosen)?;
        let predicted = |i: usize| chosen.iter().map(|(_, first)| first[i]).sum::<f64>();
        names.push(map.id);
        counts.push(chosen.len() as i64);
        let row = [matrix, predicted(0), output, predicted(1)];
        columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }
    let every = |n: usize| vec![n as i64; names.len()];
    let mut builder = Table::builder("judged")
        .texts("map", &names)
        .integers("seed", every(seed as usize))
        .integers("d_r", every(d_r))
        .integers("prompts", every(settings.judged_among))
        .integers("judged", counts)
        .integers("draws", every(settings.judged_draws));
    for (name, column) in FLOATS.into_iter().zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}
