//! Weights of the prompt that is shown, and errors of every row of several prompts over several draws.

use super::{ROWS, Settings, WEIGHTS};
use crate::cells::BaseLayer;
use crate::views::base_layer;
use artifact::cell;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{Attended, FirstOrder, Row};
use dual_model::feature_map::{FeatureMap as _, Positive, gaussian_rows, squared_sum};
use dual_model::head::Head;
use icl_model::device::Device;
use icl_numerics::order;
use icl_numerics::stream::Stream;

/// The table of errors by prompt.
pub(super) const PROMPTS: &str = "prompts";

/// Columns of the weights; 0 features stand for the exact kernel.
pub(super) fn weights_schema() -> Schema {
    vec![
        ("features".into(), ColumnType::Integer),
        ("query".into(), ColumnType::Integer),
        ("key".into(), ColumnType::Integer),
        ("weight".into(), ColumnType::Float),
    ]
}

/// Columns of the rows: sum over keys of the squared and of the absolute errors of the weights, means over draws; the
/// former as predicted by first order, and its relative change by the next; the sum of the squared weights; quantiles of
/// `z = |q + k|^2` over the keys.
pub(super) fn rows_schema() -> Schema {
    let integer = ["features", "prompt", "query"].map(|name| (name.into(), ColumnType::Integer));
    let float =
        ["square", "absolute", "predicted", "next_order", "weights", "z_median", "z_largest"];
    integer.into_iter().chain(float.map(|name| (name.into(), ColumnType::Float))).collect()
}

fn trained(
    context: &cell::Context<'_>,
    settings: &Settings,
    device: Device,
) -> anyhow::Result<BaseLayer> {
    BaseLayer::trained(context, settings.train(), device)
}

/// Positive features of a draw.
fn map(draw: usize, d_r: usize, d: usize) -> Positive {
    Positive::new(gaussian_rows(&Stream::new(draw as u64, "heatmaps/omega"), d_r, d))
}

/// Attention of all tokens by features.
fn by_features(map: &Positive, head: &Head) -> Vec<Attended> {
    let keys: Vec<Vec<f64>> = head.keys.iter_rows().map(|key| map.key_features(key)).collect();
    let row = |i: usize| {
        let phi = map.query_features(head.queries.row(i));
        let kernel = keys.iter().map(|key| order::dot(key, &phi)).collect();
        base_layer::row(head, i).normalised(kernel)
    };
    (0..head.n_tokens()).map(row).collect()
}

fn exact(head: &Head) -> Vec<Attended> {
    (0..head.n_tokens()).map(|i| base_layer::row(head, i).softmax()).collect()
}

/// Weights of every query and key of the prompt that is shown, by the first draw.
pub(super) fn weights(
    context: &cell::Context<'_>,
    settings: &Settings,
    device: Device,
) -> anyhow::Result<Table> {
    let head = trained(context, settings, device)?.head(settings.prompt)?;
    let (n, d) = (head.n_tokens(), head.keys.columns());
    let (mut features, mut entries) = (Vec::new(), Vec::new());
    for d_r in std::iter::once(&0).chain(&settings.features) {
        let rows = if *d_r == 0 { exact(&head) } else { by_features(&map(0, *d_r, d), &head) };
        entries.extend(rows.into_iter().flat_map(|row| row.weights));
        features.extend(vec![*d_r as i64; n * n]);
    }
    let count = entries.len();
    let index = |f: fn(usize, usize) -> usize| -> Vec<i64> {
        (0..count).map(|i| f(i % (n * n), n) as i64).collect()
    };
    let table = Table::builder(WEIGHTS)
        .integers("features", features)
        .integers("query", index(|i, n| i / n))
        .integers("key", index(|i, n| i % n))
        .floats("weight", entries)
        .build()?;
    Ok(table)
}

/// Sums of squared and of absolute errors of every row.
fn errors(got: &[Attended], want: &[Attended]) -> Vec<[f64; 2]> {
    let row = |(got, want): (&Attended, &Attended)| {
        let gaps: Vec<f64> =
            got.weights.iter().zip(&want.weights).map(|(a, b)| (a - b).abs()).collect();
        [order::sum_of_squares(&gaps), order::sum(&gaps)]
    };
    got.iter().zip(want).map(row).collect()
}

/// What is predicted of a row, and the largest and the median `z`.
fn predicted(map: &Positive, row: &Row<'_>) -> anyhow::Result<[f64; 4]> {
    let missing = || anyhow::anyhow!("the positive map states no moments");
    let (first, next) = FirstOrder::with_next(map, row).ok_or_else(missing)?;
    let mut z: Vec<f64> = row.keys.iter().map(|key| squared_sum(row.query, key)).collect();
    z.sort_by(f64::total_cmp);
    Ok([order::sum(&first.weights), next.weights, z[z.len() / 2], z[z.len() - 1]])
}

/// One row for every number of features, prompt and query.
pub(super) fn rows(
    context: &cell::Context<'_>,
    settings: &Settings,
    device: Device,
) -> anyhow::Result<Table> {
    let trained = trained(context, settings, device)?;
    let mut indices: [Vec<i64>; 3] = Default::default();
    let mut columns: [Vec<f64>; 7] = Default::default();
    for d_r in &settings.features {
        let d = settings.d_t + 1;
        let maps: Vec<Positive> = (0..settings.draws).map(|draw| map(draw, *d_r, d)).collect();
        for prompt in 0..settings.prompts {
            let head = trained.head(prompt)?;
            let exact = exact(&head);
            let mut sums = vec![[0.0; 2]; head.n_tokens()];
            for map in &maps {
                for (sum, error) in sums.iter_mut().zip(errors(&by_features(map, &head), &exact)) {
                    sum.iter_mut().zip(error).for_each(|(sum, x)| *sum += x);
                }
            }
            for (query, [square, absolute]) in sums.into_iter().enumerate() {
                let [first, next, middle, largest] =
                    predicted(&maps[0], &base_layer::row(&head, query))?;
                let of = [*d_r, prompt, query];
                indices.iter_mut().zip(of).for_each(|(column, i)| column.push(i as i64));
                let draws = settings.draws as f64;
                let own = order::sum_of_squares(&exact[query].weights);
                let row = [square / draws, absolute / draws, first, next, own, middle, largest];
                columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
            }
        }
    }
    let mut builder = Table::builder(ROWS);
    for (name, column) in ["features", "prompt", "query"].iter().zip(indices) {
        builder = builder.integers(name, column);
    }
    for ((name, _), column) in rows_schema().iter().skip(3).zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

/// One row for every number of features and prompt: error of the matrix relative to it, as measured and as predicted, mean
/// absolute error of an entry, and the median over rows of `z`.
pub(super) fn by_prompt(settings: &Settings, rows: &Table) -> anyhow::Result<Table> {
    let n = settings.n_demos + 1;
    let sums = |column: &str| -> anyhow::Result<Vec<f64>> {
        Ok(rows.floats(column)?.chunks_exact(n).map(order::sum).collect())
    };
    let every = |column: &str| -> anyhow::Result<Vec<i64>> {
        Ok(rows.integers(column)?.into_iter().step_by(n).collect())
    };
    let whole = sums("weights")?;
    let relative = |squares: Vec<f64>| -> Vec<f64> {
        squares.iter().zip(&whole).map(|(square, whole)| (square / whole).sqrt()).collect()
    };
    let middle = |column: &[f64]| {
        let mut column = column.to_vec();
        column.sort_by(f64::total_cmp);
        column[column.len() / 2]
    };
    let absolute = sums("absolute")?.into_iter().map(|sum| sum / (n * n) as f64).collect();
    let z = rows.floats("z_median")?;
    let table = Table::builder(PROMPTS)
        .integers("features", every("features")?)
        .integers("prompt", every("prompt")?)
        .floats("relative_error", relative(sums("square")?))
        .floats("predicted", relative(sums("predicted")?))
        .floats("mean_absolute_error", absolute)
        .floats("z_median", z.chunks_exact(n).map(middle).collect())
        .build()?;
    Ok(table)
}
