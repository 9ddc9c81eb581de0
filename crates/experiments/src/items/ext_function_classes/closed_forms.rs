//! Averaging and least squares on linear functions: Monte Carlo against closed forms, in the class's normalisation.
//!
//! Inputs are `N(0, I_d)` and `E y^2 = d`, so the losses relative to it are
//!
//! ```text
//! averaging       (d + 1) / N          one gradient step of size 1: 1 - 2 + (N + d + 1) / N
//! least squares   max(d - N, 0) / d    the part of w orthogonal to the inputs
//! ```

use super::function_class::FunctionClass;
use super::prompts::Prompts;
use super::{AVERAGING, CLOSED_FORMS, ITEM, LEAST_SQUARES, Settings};
use crate::regression::{Predictor, Problem};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Claim, Measurement, Place, agree};
use artifact::statistics::standard_error;
use artifact::table::{ColumnType, Schema, Table};
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde_json::json;

/// Blocks of a cell: cells are work for threads, blocks are rows.
const BLOCKS_OF_A_CELL: usize = 8;

/// Refuses numbers that do not divide into cells and blocks.
pub(super) fn check(file: &SettingsFile, settings: &Settings) -> anyhow::Result<()> {
    let Settings { blocks, closed_form_problems: problems, .. } = *settings;
    let fits = blocks > 0 && blocks.is_multiple_of(BLOCKS_OF_A_CELL);
    if !fits || problems == 0 || !problems.is_multiple_of(blocks) {
        let found = format!("{problems}, {blocks}");
        let expected = "blocks a multiple of 8, problems a multiple of blocks";
        return Err(file.refuse("closed_form_problems, blocks", &found, expected));
    }
    Ok(())
}

/// Names of the cells.
pub(super) fn names(settings: &Settings) -> impl Iterator<Item = String> {
    (0..settings.blocks / BLOCKS_OF_A_CELL).map(name)
}

fn name(cell: usize) -> String {
    format!("{CLOSED_FORMS}/{cell}")
}

/// The closed form of a predictor, if it has one that is not zero.
fn closed_form(predictor: &str, n: usize, d: usize) -> Option<f64> {
    match predictor {
        AVERAGING => Some((d + 1) as f64 / n as f64),
        LEAST_SQUARES if n < d => Some((d - n) as f64 / d as f64),
        _ => None,
    }
}

const PREDICTORS: [(&str, Predictor); 2] =
    [(AVERAGING, Predictor::Averaging), (LEAST_SQUARES, Predictor::LeastSquares)];

/// Predictor and number of demonstrations of every curve point.
fn points(settings: &Settings) -> Vec<(&'static str, Predictor, usize, f64)> {
    let point = |(name, predictor): (&'static str, Predictor), n: usize| {
        closed_form(name, n, settings.d).map(|closed| (name, predictor, n, closed))
    };
    let all = (1..=settings.n_demos).flat_map(|n| PREDICTORS.map(|one| point(one, n)));
    all.flatten().collect()
}

fn schema() -> Schema {
    vec![
        ("predictor".into(), ColumnType::Text),
        ("n_demos".into(), ColumnType::Integer),
        ("block".into(), ColumnType::Integer),
        ("squared_error".into(), ColumnType::Float),
        ("squared_label".into(), ColumnType::Float),
        ("closed_form".into(), ColumnType::Float),
    ]
}

/// The cells: mean squared errors and labels of blocks of problems.
pub(super) fn cells(settings: &Settings) -> impl Iterator<Item = Cell> {
    (0..settings.blocks / BLOCKS_OF_A_CELL).map(|cell| {
        let settings = settings.clone();
        let Settings { n_demos, closed_form_problems: problems, blocks, .. } = settings;
        Cell::new(
            name(cell),
            (problems * n_demos) as f64 / (blocks / BLOCKS_OF_A_CELL) as f64 / 1e5,
            json!({
                "kind": "class-closed-forms/1", "d": settings.d, "n_demos": n_demos,
                "problems": problems, "blocks": blocks, "cell": cell
            }),
            schema(),
            move |_| {
                let first = cell * BLOCKS_OF_A_CELL;
                let blocks = (first..first + BLOCKS_OF_A_CELL).map(|b| block(&settings, b));
                let blocks: Vec<Table> = blocks.collect::<anyhow::Result<_>>()?;
                anyhow::Ok(Table::stack(CLOSED_FORMS, &blocks)?)
            },
        )
    })
}

fn block(settings: &Settings, block: usize) -> anyhow::Result<Table> {
    let stream = Stream::new(0, "function-class/closed-forms");
    let points = points(settings);
    let size = settings.closed_form_problems / settings.blocks;
    let prompts: Prompts = settings.standard(FunctionClass::Linear, settings.n_demos);
    let (mut errors, mut labels) = (vec![vec![0.0; size]; points.len()], vec![0.0; size]);
    for p in 0..size {
        let mut problem: Problem = prompts.problem(&stream, (block * size + p) as u64);
        labels[p] = problem.target * problem.target;
        // fewer demonstrations are a prefix of more
        for (errors, (_, predictor, n, _)) in errors.iter_mut().zip(&points).rev() {
            problem.x.truncate(*n);
            problem.y.truncate(*n);
            errors[p] = predictor.squared_error(&problem);
        }
    }
    let mean = |squares: &[f64]| order::sum(squares) / size as f64;
    Ok(Table::builder(CLOSED_FORMS)
        .texts("predictor", &points.iter().map(|point| point.0).collect::<Vec<_>>())
        .integers("n_demos", points.iter().map(|point| point.2 as i64).collect())
        .integers("block", vec![block as i64; points.len()])
        .floats("squared_error", errors.iter().map(|squares| mean(squares)).collect())
        .floats("squared_label", vec![mean(&labels); points.len()])
        .floats("closed_form", points.iter().map(|point| point.3).collect())
        .build()?)
}

/// Both predictors within 2 % of their closed forms at every number of demonstrations.
pub(super) fn claims(settings: &Settings, table: &Table) -> anyhow::Result<Vec<Claim>> {
    let (names, n_demos) = (table.texts("predictor")?, table.integers("n_demos")?);
    let (errors, labels) = (table.floats("squared_error")?, table.floats("squared_label")?);
    let measurement = |predictor: &str, n: usize, closed: f64| {
        let rows = (0..names.len()).filter(|i| names[*i] == predictor && n_demos[*i] == n as i64);
        let (errors, labels): (Vec<f64>, Vec<f64>) = rows.map(|i| (errors[i], labels[i])).unzip();
        let value = order::sum(&errors) / order::sum(&labels);
        // the ratio's error by the delta method
        let rest: Vec<f64> = errors.iter().zip(&labels).map(|(e, l)| e - value * l).collect();
        let scale = order::mean(&labels).unwrap_or(f64::NAN);
        Measurement { value, error: standard_error(&rest) / scale, closed }
    };
    let of = |predictor: &'static str| {
        let points = points(settings).into_iter().filter(move |point| point.0 == predictor);
        points.map(|(name, _, n, closed)| measurement(name, n, closed)).collect::<Vec<_>>()
    };
    let place = |claim| Place { item: ITEM.id, claim, table: CLOSED_FORMS };
    Ok(vec![
        agree(
            place("averaging-closed-form"),
            "Averaging on linear functions against (d + 1)/N, every N",
            of(AVERAGING),
            0.02,
        ),
        agree(
            place("ols-closed-form"),
            "Least squares on linear functions against (d - N)/d, every N below d",
            of(LEAST_SQUARES),
            0.02,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regression::{Entries, one_step_loss};

    #[test]
    fn averaging_is_one_gradient_step_of_size_one() {
        for (n, d) in [(1, 5), (10, 5), (7, 3)] {
            let closed = closed_form(AVERAGING, n, d).unwrap();
            assert!((one_step_loss(Entries::Normal, n, d, 1.0) - closed).abs() < 1e-12);
        }
    }
}
