//! A trained layer of linear attention beside gradient descent: applied again and again, and with its weights
//! moved towards those of the gradient step.
//!
//! Every application predicts all inputs from the labels that are left and takes the dampened predictions
//! away from them; the query collects them. With the gradient step as the layer that is gradient descent.
//! Source of both comparisons: J. von Oswald et al. (2023).

use crate::cells::{Kept, machine};
use crate::regression::{Entries, Predictor, Problem, best_step};
use crate::views::attention_layer::AttentionLayer;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::claim::{Claim, Place, Side, over_seeds};
use artifact::statistics::interval;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::attention::Parameters;
use icl_model::device::Device;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde_json::json;

/// Share of a prediction that is taken over.
const DAMPING: f64 = 0.75;
/// Applications after which losses are compared.
const APPLICATIONS: [usize; 6] = [1, 2, 5, 10, 20, 50];
/// Shares of the gradient step's weights.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Rows of the applications, and of the shares.
pub(crate) const ITERATED: &str = "iterated";
/// Rows of the interpolation.
pub(crate) const INTERPOLATED: &str = "interpolated";

/// Columns: seed, which comparison, its argument, and the losses of layer and gradient descent.
pub(crate) fn schema() -> Schema {
    vec![
        ("seed".into(), ColumnType::Integer),
        ("comparison".into(), ColumnType::Text),
        ("x".into(), ColumnType::Float),
        ("loss".into(), ColumnType::Float),
        ("gd_loss".into(), ColumnType::Float),
    ]
}

/// Name of the cell of a seed.
pub(crate) fn name(seed: u64) -> String {
    format!("iterated/{seed}")
}

/// A cell that trains and makes both comparisons on `problems` problems with normal inputs.
pub(crate) fn cell(train: TrainSettings, problems: usize, device: Device) -> Cell {
    Cell::new(
        name(train.seed),
        crate::cells::training::weight(&train, 0) + problems as f64 / 100.0,
        json!({ "kind": "iterated/1", "train": train, "problems": problems }),
        schema(),
        move |context| {
            let layer = LayerTraining::new(train.clone(), &machine(device))?;
            let mut trainer = layer.trainer();
            trainer.run(&Kept::new(context)?)?;
            anyhow::Ok(measure(&train, trainer.parameters(), problems)?)
        },
    )
}

fn measure(train: &TrainSettings, parameters: &Parameters, count: usize) -> anyhow::Result<Table> {
    let (n, d) = (train.prompt.n_demos, train.prompt.d_t);
    let stream = Stream::new(0, "iterated/problems");
    let problems: Vec<Problem> =
        (0..count as u64).map(|p| Problem::new(&stream, p, n, d, Entries::Normal)).collect();
    let layer = AttentionLayer::new(train, parameters)?;
    let eta = best_step(Entries::Normal, n, d);
    let gd = Predictor::Descent { steps: 1, eta, gamma: 0.0 };
    let ours = applied(&problems, |problem| layer.predict(problem));
    let theirs = applied(&problems, |problem| gd.predict(problem));
    let one_step = median_loss(&problems, |i| gd.predict(&problems[i]));
    let mut rows: Vec<(&str, f64, f64, f64)> = Vec::new();
    for (i, k) in APPLICATIONS.into_iter().enumerate() {
        rows.push((
            ITERATED,
            k as f64,
            median_loss(&problems, |p| ours[p][i]),
            median_loss(&problems, |p| theirs[p][i]),
        ));
    }
    for share in SHARES {
        let mixed = layer.towards_gradient_step(share, eta);
        let loss = median_loss(&problems, |i| mixed.predict(&problems[i]));
        rows.push((INTERPOLATED, share, loss, one_step));
    }
    let table = Table::builder("iterated")
        .integers("seed", vec![train.seed as i64; rows.len()])
        .texts("comparison", &rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .floats("x", rows.iter().map(|row| row.1).collect())
        .floats("loss", rows.iter().map(|row| row.2).collect())
        .floats("gd_loss", rows.iter().map(|row| row.3).collect())
        .build()?;
    Ok(table)
}

/// The query's prediction after each of [`APPLICATIONS`], for every problem.
fn applied(problems: &[Problem], predict: impl Fn(&Problem) -> f64) -> Vec<[f64; 6]> {
    let one = |problem: &Problem| {
        // the labels become what is left of them
        let (mut left, mut sum) = (problem.clone(), 0.0);
        let mut predictions = [0.0; APPLICATIONS.len()];
        for k in 1..=APPLICATIONS[APPLICATIONS.len() - 1] {
            left.query.clone_from(&problem.query);
            sum += DAMPING * predict(&left);
            let mut moves = Vec::with_capacity(problem.x.len());
            for x in &problem.x {
                left.query.clone_from(x);
                moves.push(DAMPING * predict(&left));
            }
            left.y.iter_mut().zip(moves).for_each(|(y, m)| *y -= m);
            if let Some(i) = APPLICATIONS.iter().position(|application| *application == k) {
                predictions[i] = sum;
            }
        }
        predictions
    };
    problems.iter().map(one).collect()
}

/// Median of the squared errors, relative to the labels' mean square: descent diverges on a few problems,
/// which a mean would be about.
fn median_loss(problems: &[Problem], prediction: impl Fn(usize) -> f64) -> f64 {
    let error = |i: usize| prediction(i) - problems[i].target;
    let mut errors: Vec<f64> = (0..problems.len()).map(|i| error(i) * error(i)).collect();
    errors.sort_by(f64::total_cmp);
    let targets: Vec<f64> = problems.iter().map(|p| p.target).collect();
    errors[errors.len() / 2] * problems.len() as f64 / order::sum_of_squares(&targets)
}

/// The losses of layer and gradient descent over seeds, for every argument of a comparison.
pub(super) type Pairs = Vec<(f64, [Vec<f64>; 2])>;

pub(super) fn pairs(iterated: &Table, comparison: &str) -> anyhow::Result<Pairs> {
    let (names, x) = (iterated.texts("comparison")?, iterated.floats("x")?);
    let (ours, theirs) = (iterated.floats("loss")?, iterated.floats("gd_loss")?);
    let mut all: Pairs = Vec::new();
    for i in (0..x.len()).filter(|i| names[*i] == comparison) {
        let place = all.iter().position(|(at, _)| *at == x[i]).unwrap_or_else(|| {
            all.push((x[i], Default::default()));
            all.len() - 1
        });
        all[place].1[0].push(ours[i]);
        all[place].1[1].push(theirs[i]);
    }
    Ok(all)
}

/// After fifty applications the layer is where gradient descent is.
pub(crate) fn claim(id: &str, expected: bool, iterated: &Table) -> anyhow::Result<Claim> {
    let (_, [ours, theirs]) = pairs(iterated, ITERATED)?.pop().context("no application")?;
    let far = interval::ratio(&ours, &theirs)?.distance_from_one();
    let claim = over_seeds(
        Place { item: id, claim: "iterated", table: "iterated" },
        "Median loss after fifty dampened applications of linear attention, against gradient descent's",
        far,
        Side::AtMost,
        0.05,
    );
    Ok(Claim { expected, ..claim })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_step_applied_again_is_gradient_descent() {
        let stream = Stream::new(3, "iterated/test");
        let problem = Problem::new(&stream, 0, 6, 3, Entries::Normal);
        let step = |steps: usize, eta: f64| Predictor::Descent { steps, eta, gamma: 0.0 };
        let eta = 0.2;
        let gd = step(1, eta);
        let [_, two, five, ..] = applied(std::slice::from_ref(&problem), |p| gd.predict(p))[0];
        for (k, found) in [(2, two), (5, five)] {
            let want = step(k, DAMPING * eta).predict(&problem);
            assert!((found - want).abs() < 1e-12 * want.abs().max(1.0), "{k}: {found} {want}");
        }
    }
}
