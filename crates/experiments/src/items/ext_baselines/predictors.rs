//! Cells of the predictors without training: tuned ones by blocks of problems, and those with closed forms.

use super::Settings;
use super::method::Method;
use super::tuning::{Choice, Location, tuned};
use crate::named::Named as _;
use crate::regression::{Entries, Predictor, Problem, best_step, one_step_loss};
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde_json::json;

/// Name of the cell of all methods for a number of demonstrations.
pub(super) fn name(n_demos: usize) -> String {
    format!("predictors/N = {n_demos}")
}

/// Name of the cell of the closed forms for a number of demonstrations.
pub(super) fn closed_name(n_demos: usize) -> String {
    format!("closed forms/N = {n_demos}")
}

fn stream(purpose: &str) -> Stream {
    Stream::new(0, &format!("baselines/{purpose}"))
}

/// Columns of what is measured by blocks: mean squared error and mean squared label of a block.
fn block_schema() -> Schema {
    vec![
        ("method".into(), ColumnType::Text),
        ("n_demos".into(), ColumnType::Integer),
        ("block".into(), ColumnType::Integer),
        ("squared_error".into(), ColumnType::Float),
        ("squared_label".into(), ColumnType::Float),
    ]
}

/// Means over blocks of problems: `errors[predictor][block]`, `labels[block]`.
struct Blocks {
    errors: Vec<Vec<f64>>,
    labels: Vec<f64>,
}

/// Every predictor on the same problems, which are divided into equal blocks.
fn measure(purpose: &str, [n, d]: [usize; 2], sizes: [usize; 2], all: &[Predictor]) -> Blocks {
    let ([problems, blocks], stream) = (sizes, stream(purpose));
    let size = problems / blocks;
    let mut means = Blocks { errors: vec![Vec::new(); all.len()], labels: Vec::new() };
    for block in 0..blocks {
        let problem =
            |p: usize| Problem::new(&stream, (block * size + p) as u64, n, d, Entries::Uniform);
        let mut squares = vec![vec![0.0; size]; all.len()];
        let mut labels = vec![0.0; size];
        for p in 0..size {
            let problem = problem(p);
            labels[p] = problem.target * problem.target;
            for (squares, predictor) in squares.iter_mut().zip(all) {
                squares[p] = predictor.squared_error(&problem);
            }
        }
        let mean = |squares: &[f64]| order::sum(squares) / size as f64;
        means.labels.push(mean(&labels));
        means.errors.iter_mut().zip(&squares).for_each(|(all, own)| all.push(mean(own)));
    }
    means
}

impl Blocks {
    /// Rows of all predictors by their names.
    fn table(&self, names: &[&str], n: usize) -> artifact::table::TableBuilder {
        let count = self.labels.len();
        let each = |name: &&str| vec![name.to_string(); count];
        let methods: Vec<String> = names.iter().flat_map(each).collect();
        let blocks = names.iter().flat_map(|_| 0..count as i64).collect();
        Table::builder("blocks")
            .texts("method", &methods)
            .integers("n_demos", vec![n as i64; methods.len()])
            .integers("block", blocks)
            .floats("squared_error", self.errors.concat())
            .floats("squared_label", self.labels.repeat(names.len()))
    }
}

/// Columns of the choices: value and location of a method's first and second parameter.
const CHOICES: [[&str; 2]; 2] = [["first", "first_location"], ["second", "second_location"]];

/// Every method, tuned on problems of its own.
pub(super) fn cell(settings: &Settings, n: usize) -> Cell {
    let mut schema = block_schema();
    for [value, location] in CHOICES {
        schema.push((value.into(), ColumnType::Float));
        schema.push((location.into(), ColumnType::Text));
    }
    let Settings { d, problems, blocks, tuning_problems, ref grids, .. } = *settings;
    let grids = grids.clone();
    Cell::new(
        name(n),
        (problems * (n * n + 40) * d) as f64 / 4e8,
        json!({
            "kind": "predictors/2", "d": d, "n_demos": n, "problems": problems, "blocks": blocks,
            "tuning_problems": tuning_problems, "grids": grids
        }),
        schema,
        move |_| {
            let stream = stream("tuning");
            let own = |p| Problem::new(&stream, p as u64, n, d, Entries::Uniform);
            let own: Vec<Problem> = (0..tuning_problems).map(own).collect();
            let all = Method::ALL.iter().map(|method| tuned(*method, &grids, &own));
            let (predictors, choices): (Vec<_>, Vec<_>) =
                all.collect::<anyhow::Result<Vec<_>>>()?.into_iter().unzip();
            let measured = measure("test", [n, d], [problems, blocks], &predictors);
            let names: Vec<&str> = Method::ALL.iter().map(|method| method.name()).collect();
            let mut table = measured.table(&names, n);
            for (axis, [value, location]) in CHOICES.into_iter().enumerate() {
                let none = Choice { value: 0.0, location: Location::Limit };
                let of = |own: &Vec<Choice>| vec![own.get(axis).copied().unwrap_or(none); blocks];
                let column: Vec<Choice> = choices.iter().flat_map(of).collect();
                let locations: Vec<&str> = column.iter().map(|c| c.location.name()).collect();
                table = table
                    .floats(value, column.iter().map(|choice| choice.value).collect())
                    .texts(location, &locations);
            }
            anyhow::Ok(table.build()?)
        },
    )
}

/// One row for every parameter that was tuned: method, N, parameter, value, ends of its grid, location.
pub(super) fn choices(settings: &Settings, tables: &[&Table]) -> anyhow::Result<Table> {
    let (mut texts, mut floats): ([Vec<String>; 3], [Vec<f64>; 3]) = Default::default();
    let mut n_demos = Vec::new();
    for (n, table) in settings.n_demos.iter().zip(tables) {
        for (m, method) in Method::ALL.iter().enumerate() {
            let row = m * settings.blocks;
            let parameters = method.parameters(&settings.grids, *n);
            for (parameter, [value, location]) in parameters.iter().zip(CHOICES) {
                let location = table.texts(location)?[row].clone();
                let own = [method.name().to_owned(), parameter.name.to_owned(), location];
                texts.iter_mut().zip(own).for_each(|(column, x)| column.push(x));
                let candidates = &parameter.candidates;
                let own =
                    [table.floats(value)?[row], candidates[0], candidates[candidates.len() - 1]];
                floats.iter_mut().zip(own).for_each(|(column, x)| column.push(x));
                n_demos.push(*n as i64);
            }
        }
    }
    let ([methods, parameters, locations], [value, from, to]) = (texts, floats);
    Ok(Table::builder("choices")
        .texts("method", &methods)
        .integers("n_demos", n_demos)
        .texts("parameter", &parameters)
        .floats("value", value)
        .floats("from", from)
        .floats("to", to)
        .texts("location", &locations)
        .build()?)
}

/// The blocks without the choices.
pub(super) fn blocks(tables: &[&Table]) -> anyhow::Result<Table> {
    let own = |table: &&Table| -> anyhow::Result<Table> {
        Ok(Table::builder("blocks")
            .texts("method", &table.texts("method")?)
            .integers("n_demos", table.integers("n_demos")?)
            .integers("block", table.integers("block")?)
            .floats("squared_error", table.floats("squared_error")?)
            .floats("squared_label", table.floats("squared_label")?)
            .build()?)
    };
    let own: Vec<Table> = tables.iter().map(own).collect::<anyhow::Result<_>>()?;
    Ok(Table::stack("blocks", &own)?)
}

/// Predictors with a closed form for `n` demonstrations of size `d`, and the closed form.
fn closed_forms(n: usize, d: usize) -> Vec<(Method, f64)> {
    let step = |eta| one_step_loss(Entries::Uniform, n, d, eta);
    let mut all = vec![
        (Method::Averaging, step(1.0)),
        (Method::OneStep, step(best_step(Entries::Uniform, n, d))),
    ];
    if n < d {
        // the error is the part of w orthogonal to n of d dimensions
        all.push((Method::LeastSquares, (d - n) as f64 / d as f64));
    }
    all
}

/// Predictors with closed forms on many problems.
pub(super) fn closed_cell(settings: &Settings, n: usize) -> Cell {
    let Settings { d, closed_form_problems: problems, blocks, .. } = *settings;
    let mut schema = block_schema();
    schema.push(("closed_form".into(), ColumnType::Float));
    Cell::new(
        closed_name(n),
        (problems * n * d) as f64 / 1e8,
        json!({
            "kind": "closed-forms/1", "d": d, "n_demos": n, "problems": problems, "blocks": blocks
        }),
        schema,
        move |_| {
            let (methods, closed): (Vec<_>, Vec<_>) = closed_forms(n, d).into_iter().unzip();
            let predictors: Vec<Predictor> =
                methods.iter().map(|method| method.predictor(&[], n, d)).collect();
            let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
            let measured = measure("closed-forms", [n, d], [problems, blocks], &predictors);
            let closed = closed.iter().flat_map(|x| vec![*x; blocks]).collect();
            anyhow::Ok(measured.table(&names, n).floats("closed_form", closed).build()?)
        },
    )
}
