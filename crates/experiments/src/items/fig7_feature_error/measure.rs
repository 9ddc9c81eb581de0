//! Errors over draws of the features, and what is predicted of them.

use super::data::Data;
use artifact::statistics::standard_error;
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_error::{Attended, FirstOrder, Row};
use dual_model::feature_map::{self, Estimate, FeatureMap, Setting};
use icl_numerics::stream::Stream;
use icl_numerics::{largest, math, order};

/// What is compared with exact attention, in the order of the columns.
pub(super) const QUANTITIES: [&str; 3] = ["kernel", "matrix", "output"];

/// Columns of one quantity: mean square over entries and draws, its standard error over draws, mean magnitude, and the
/// predictions of both.
const COLUMNS: [&str; 5] = ["mse", "mse_error", "mse_theory", "mae", "mae_theory"];

/// Columns of an error curve, one row for every number of features.
///
/// The kernel's errors are relative to its entries; `next_order` is the largest relative change of the predictions by the
/// next order, `negative` the share of rows and draws with a negative normaliser, and the squares are those of the exact
/// matrix and output, by which errors are made relative.
pub(super) fn schema() -> Schema {
    let mut schema = vec![
        ("data".to_owned(), ColumnType::Text),
        ("map".to_owned(), ColumnType::Text),
        ("d_r".to_owned(), ColumnType::Integer),
        ("draws".to_owned(), ColumnType::Integer),
    ];
    let of = |quantity: &&str| COLUMNS.map(|column| format!("{quantity}_{column}"));
    let floats = QUANTITIES.iter().flat_map(of);
    let rest = ["next_order", "negative", "matrix_square", "output_square"].map(str::to_owned);
    schema.extend(floats.chain(rest).map(|name| (name, ColumnType::Float)));
    schema
}

/// A map's name and sizes of a measurement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measurement {
    /// The map.
    pub(super) map: &'static str,
    /// Features.
    pub(super) d_r: usize,
    /// Draws of them.
    pub(super) draws: usize,
}

impl Measurement {
    /// The map of a draw.
    pub(super) fn built(&self, data: &Data, draw: usize) -> anyhow::Result<Box<dyn FeatureMap>> {
        let stream = Stream::new(draw as u64, &format!("feature-error/omega/{}", self.d_r));
        let (d, mean_z, keys) = (data.d(), data.mean_z(), data.keys());
        let setting = Setting { stream: &stream, d_r: self.d_r, d, mean_z, keys: &keys };
        Ok(feature_map::parse(self.map)?.build(&setting)?)
    }
}

/// Entries of a row: relative errors of the kernel, errors of the weights and of the output.
type Errors = [Vec<f64>; 3];

/// Errors of a row by entries of a kernel, and whether its normaliser is negative.
fn errors(row: &Row<'_>, exact: &Attended, kernel: Vec<f64>) -> (Errors, bool) {
    let relative =
        |(entry, key): (&f64, &&[f64])| entry * math::exp(-order::dot(key, row.query)) - 1.0;
    let of_kernel = kernel.iter().zip(&row.keys).map(relative).collect();
    let negative = order::sum(&kernel) < 0.0;
    let by = row.normalised(kernel);
    let gaps = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
    ([of_kernel, gaps(&by.weights, &exact.weights), gaps(&by.output, &exact.output)], negative)
}

/// All entries of a draw: mean square and mean magnitude of every quantity, and the share of negative normalisers.
fn draw(rows: &[(Row<'_>, Attended)], kernel: impl Fn(&Row<'_>) -> Vec<f64>) -> [f64; 7] {
    let all: Vec<(Errors, bool)> =
        rows.iter().map(|(row, exact)| errors(row, exact, kernel(row))).collect();
    let mut out = [0.0; 7];
    for quantity in 0..3 {
        let entries: Vec<f64> = all.iter().flat_map(|(of, _)| of[quantity].clone()).collect();
        let sizes: Vec<f64> = entries.iter().map(|x| x.abs()).collect();
        out[2 * quantity] = order::sum_of_squares(&entries) / entries.len() as f64;
        out[2 * quantity + 1] = order::mean(&sizes).unwrap_or(0.0);
    }
    out[6] = all.iter().filter(|(_, negative)| *negative).count() as f64 / all.len() as f64;
    out
}

/// Entries of the kernel by features.
fn by_features(map: &dyn FeatureMap, row: &Row<'_>, keys: &[Vec<f64>]) -> Vec<f64> {
    let phi = map.query_features(row.query);
    keys.iter().map(|key| order::dot(key, &phi)).collect()
}

/// Mean square and mean magnitude of every quantity as predicted, and the next order.
fn predicted(
    map: &dyn FeatureMap,
    estimate: Estimate,
    rows: &[(Row<'_>, Attended)],
) -> anyhow::Result<([f64; 6], f64)> {
    if estimate != Estimate::Unbiased {
        // nothing is drawn: the errors are those of the kernel that the map states
        let kernel = |row: &Row<'_>| row.keys.iter().map(|k| map.kernel(row.query, k)).collect();
        let [k2, k1, m2, m1, o2, o1, _] = draw(rows, kernel);
        return Ok(([k2, k1, m2, m1, o2, o1], 0.0));
    }
    let missing = || anyhow::anyhow!("a random map states no moments");
    let mut variances: Errors = Default::default();
    let mut next = [0.0; 2];
    for (row, _) in rows {
        let (first, change) = FirstOrder::with_next(map, row).ok_or_else(missing)?;
        next[0] += change.weights * order::sum(&first.weights);
        next[1] += change.output * first.output;
        for key in &row.keys {
            let relative = map.relative_covariance(row.query, [key, key]);
            variances[0].push(relative.ok_or_else(missing)?);
        }
        variances[1].extend(first.weights);
        variances[2].push(first.output);
    }
    let mut out = [0.0; 6];
    for (i, of) in variances.iter().enumerate() {
        // E|x| of a normal variable is sqrt(2/pi) of its standard deviation
        let sizes: Vec<f64> = of.iter().map(|v| (v * std::f64::consts::FRAC_2_PI).sqrt()).collect();
        out[2 * i] = order::mean(of).unwrap_or(0.0);
        out[2 * i + 1] = order::mean(&sizes).unwrap_or(0.0);
    }
    let relative = [next[0] / order::sum(&variances[1]), next[1] / order::sum(&variances[2])];
    Ok((out, largest::magnitude(relative)))
}

/// One row of a curve.
pub(super) fn measure(data: &Data, name: &str, of: Measurement) -> anyhow::Result<Table> {
    let rows: Vec<(Row<'_>, Attended)> =
        data.rows().into_iter().map(|row| (row.clone(), row.softmax())).collect();
    let estimate = feature_map::parse(of.map)?.entry().estimate;
    // without randomness all draws are one
    let draws = if estimate == Estimate::Unbiased { of.draws } else { 1 };
    let mut by_draw: [Vec<f64>; 7] = Default::default();
    for i in 0..draws {
        let map = of.built(data, i)?;
        let keys: Vec<Vec<f64>> = data.keys().iter().map(|key| map.key_features(key)).collect();
        let one = draw(&rows, |row| by_features(map.as_ref(), row, &keys));
        by_draw.iter_mut().zip(one).for_each(|(column, x)| column.push(x));
    }
    let (theory, next_order) = predicted(of.built(data, 0)?.as_ref(), estimate, &rows)?;
    let mean = |column: usize| order::mean(&by_draw[column]).unwrap_or(0.0);
    let square = |entries: fn(&Attended) -> &Vec<f64>| {
        let all: Vec<f64> = rows.iter().flat_map(|(_, exact)| entries(exact).clone()).collect();
        order::sum_of_squares(&all) / all.len() as f64
    };
    let mut builder = Table::builder("errors")
        .texts("data", &[name])
        .texts("map", &[of.map])
        .integers("d_r", vec![of.d_r as i64])
        .integers("draws", vec![draws as i64]);
    for (i, quantity) in QUANTITIES.iter().enumerate() {
        let (squares, sizes) = (2 * i, 2 * i + 1);
        let row = [
            mean(squares),
            standard_error(&by_draw[squares]),
            theory[squares],
            mean(sizes),
            theory[sizes],
        ];
        for (column, x) in COLUMNS.iter().zip(row) {
            builder = builder.floats(&format!("{quantity}_{column}"), vec![x]);
        }
    }
    let table = builder
        .floats("next_order", vec![next_order])
        .floats("negative", vec![mean(6)])
        .floats("matrix_square", vec![square(|exact| &exact.weights)])
        .floats("output_square", vec![square(|exact| &exact.output)])
        .build()?;
    Ok(table)
}
