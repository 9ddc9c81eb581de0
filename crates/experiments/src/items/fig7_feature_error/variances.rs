//! The variance of single blocks of features, pair by pair: many draws of as many features as a key has coordinates.

use super::data::Data;
use super::measure::Measurement;
use anyhow::Context as _;
use artifact::statistics::standard_error;
use artifact::table::{ColumnType, Schema, Table};
use icl_numerics::{math, order};

/// Columns: one row for every pair of a query and a key; the standard error is that of the mean over all pairs, which
/// share the draws.
pub(super) fn schema() -> Schema {
    vec![
        ("map".to_owned(), ColumnType::Text),
        ("draws".to_owned(), ColumnType::Integer),
        ("query".to_owned(), ColumnType::Integer),
        ("key".to_owned(), ColumnType::Integer),
        ("z".to_owned(), ColumnType::Float),
        ("measured".to_owned(), ColumnType::Float),
        ("closed_form".to_owned(), ColumnType::Float),
        ("error_of_the_mean".to_owned(), ColumnType::Float),
    ]
}

/// Measured and closed variances of every pair.
pub(super) fn measure(data: &Data, of: Measurement) -> anyhow::Result<Table> {
    let (rows, keys) = (data.rows(), data.keys());
    let n = keys.len();
    let pairs: Vec<(usize, usize)> = (0..n * n).map(|i| (i / n, i % n)).collect();
    let exact: Vec<f64> =
        pairs.iter().map(|(i, j)| math::exp(order::dot(rows[*i].query, keys[*j]))).collect();
    let mut sums = vec![0.0; pairs.len()];
    let mut by_draw = Vec::with_capacity(of.draws);
    for draw in 0..of.draws {
        let map = of.built(data, draw)?;
        let phi: Vec<Vec<f64>> = keys.iter().map(|key| map.key_features(key)).collect();
        let queries: Vec<Vec<f64>> = rows.iter().map(|row| map.query_features(row.query)).collect();
        let square = |((i, j), exact): (&(usize, usize), &f64)| {
            let gap = order::dot(&phi[*j], &queries[*i]) - exact;
            gap * gap
        };
        let squares: Vec<f64> = pairs.iter().zip(&exact).map(square).collect();
        by_draw.push(order::mean(&squares).unwrap_or(0.0));
        sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
    }
    let map = of.built(data, 0)?;
    let closed = |(i, j): &(usize, usize)| {
        let variance = map.variance(rows[*i].query, keys[*j]);
        variance.with_context(|| format!("{} states no variance", of.map))
    };
    let table = Table::builder("variances")
        .texts("map", &vec![of.map; pairs.len()])
        .integers("draws", vec![of.draws as i64; pairs.len()])
        .integers("query", pairs.iter().map(|(i, _)| *i as i64).collect())
        .integers("key", pairs.iter().map(|(_, j)| *j as i64).collect())
        .floats("z", data.z())
        .floats("measured", sums.iter().map(|sum| sum / of.draws as f64).collect())
        .floats("closed_form", pairs.iter().map(closed).collect::<anyhow::Result<_>>()?)
        .floats("error_of_the_mean", vec![standard_error(&by_draw); pairs.len()])
        .build()?;
    Ok(table)
}
