//! Layers of linear attention with constructed weights beside gradient descent on an explicit matrix.
//!
//! Source of the construction: J. von Oswald et al. (2023).

use artifact::cell::Cell;
use artifact::table::{ColumnType, Table};
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde_json::json;

/// The cell and its table.
pub(crate) const NAME: &str = "constructed";

/// Layers of linear attention with constructed weights against gradient descent on an explicit matrix.
pub(crate) fn cell() -> Cell {
    Cell::new(
        NAME,
        0.1,
        json!({ "kind": "constructed/1", "d": 12, "outputs": 8, "n_demos": 45, "steps": 100 }),
        vec![("step".into(), ColumnType::Integer), ("difference".into(), ColumnType::Float)],
        |_| {
            let differences = constructed(12, 8, 45, 100);
            let table = Table::builder(NAME)
                .integers("step", (1..=differences.len() as i64).collect())
                .floats("difference", differences)
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// Largest difference, relative to the largest prediction, after every layer: tokens `[x; y]` whose label
/// part each layer of linear attention moves by `-(eta/N) sum_i y_i (x_i . x_j)`, against `W x` with
/// `W += (eta/N) sum_i (y_i - W x_i) x_i^T`.
fn constructed(d: usize, outputs: usize, n: usize, steps: usize) -> Vec<f64> {
    let stream = Stream::new(0, "alignment/constructed");
    let mut draws = stream.sample(0);
    let mut rows = |count: usize, size: usize| -> Vec<Vec<f64>> {
        (0..count).map(|_| (0..size).map(|_| draws.normal()).collect()).collect()
    };
    let (x, truth, query) = (rows(n, d), rows(outputs, d), rows(1, d).concat());
    let y: Vec<Vec<f64>> =
        x.iter().map(|x| truth.iter().map(|w| order::dot(w, x)).collect()).collect();
    let rate = 1.0 / (2.0 * n as f64);
    let (mut labels, mut query_label) = (y.clone(), vec![0.0; outputs]);
    let mut w = vec![vec![0.0; d]; outputs];
    let mut differences = Vec::new();
    for _ in 0..steps {
        let moved = |point: &[f64]| -> Vec<f64> {
            let weights: Vec<f64> = x.iter().map(|x| order::dot(x, point)).collect();
            let sum = |o: usize| labels.iter().zip(&weights).map(|(y, p)| y[o] * p).sum::<f64>();
            (0..outputs).map(|o| rate * sum(o)).collect()
        };
        let moves: Vec<Vec<f64>> = x.iter().map(|x| moved(x)).collect();
        let query_move = moved(&query);
        labels
            .iter_mut()
            .zip(moves)
            .for_each(|(y, m)| y.iter_mut().zip(m).for_each(|(y, m)| *y -= m));
        query_label.iter_mut().zip(query_move).for_each(|(y, m)| *y -= m);
        let old = w.clone();
        for (o, row) in w.iter_mut().enumerate() {
            for (x, y) in x.iter().zip(&y) {
                let error = y[o] - order::dot(&old[o], x);
                row.iter_mut().zip(x).for_each(|(w, x)| *w += rate * error * x);
            }
        }
        let gd: Vec<f64> = w.iter().map(|w| order::dot(w, &query)).collect();
        let scale = largest::magnitude(gd.iter().copied());
        let gaps = gd.iter().zip(&query_label).map(|(g, y)| (g + y).abs());
        differences.push(largest::value(gaps) / scale);
    }
    differences
}
