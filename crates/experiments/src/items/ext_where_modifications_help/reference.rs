//! What the prompts of one place of the grid allow: the prediction of Bayes, and the best of a family of attention
//! weights.
//!
//! ```text
//! Bayes     k_q^T (K + diag v)^{-1} y             K_ij = x_i . x_j, k_qi = x_q . x_i, v_i: variance of label i's noise
//! branches  c (sum_i p_i y_i + (1 - alpha) p_q g)         p = softmax(beta x_i . x_q + agreement y_i g)
//! by labels c (sum_i p_i x_i1 + (1 - alpha) p_q x_q1)     p = softmax(beta y_i x_q1)
//! ```
//!
//! With `w ~ N(0, I)` and normal noise the first is the mean of the answer given the prompt, ridge regression with
//! `lambda = sigma^2`; a guess `g` is one more label, of the input `x_q`. The others are the families of
//! `docs/theory.md`, section 14: scores read inputs and outputs labels, with `beta` of both signs, or the roles of both
//! are exchanged along one coordinate. The query's own score is `beta |x_q|^2 + agreement g^2`, or 0, and `g = 0` is a
//! masked label. Weights are searched on prompts of a stream of their own; losses are those on the prompts on which
//! trained layers are judged.

use super::family::{Best, View, excess, ridge, search};
use super::settings::{ALIGNED, Kind, OPPOSED, PLAIN, Place, Settings};
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::device::Device;
use icl_model::prompt::{Labels, PromptBatch, QueryLabel};
use icl_model::settings::TrainSettings;
use icl_numerics::order;
use serde_json::json;

/// Prompts on which weights are searched.
const SEARCHED: usize = 4096;

/// Name of the prediction of Bayes among the predictors.
pub(super) const RIDGE: &str = "ridge";
/// Name of the family in which labels and inputs exchange their roles.
pub(super) const BY_LABELS: &str = "by labels";

/// Columns after predictor and `alpha`: loss and what it lies above, each with its standard error, then weights.
const NUMBERS: [&str; 10] = [
    "relative_loss",
    "standard_error",
    "above_ridge",
    "above_ridge_error",
    "above_start",
    "above_start_error",
    "beta",
    "agreement",
    "c",
    "query_mass",
];

fn schema() -> Schema {
    let mut schema =
        vec![("predictor".to_owned(), ColumnType::Text), ("alpha".to_owned(), ColumnType::Float)];
    schema.extend(NUMBERS.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

/// A family of weights at one `alpha`, and the views that it reads.
struct Family {
    name: &'static str,
    alpha: f64,
    sign: f64,
    mirrored: bool,
}

/// The families of a kind of prompts.
fn families(kind: Kind, alphas: &[f64]) -> Vec<Family> {
    let family = |name, alpha, sign| Family { name, alpha, sign, mirrored: name == BY_LABELS };
    let both = |alpha: &f64| [family(OPPOSED, *alpha, -1.0), family(ALIGNED, *alpha, 1.0)];
    let mut families: Vec<Family> = alphas.iter().flat_map(both).collect();
    if kind != Kind::Guessed {
        families.extend([0.0, 1.0].map(|alpha| family(BY_LABELS, alpha, 1.0)));
    }
    families
}

/// The cell of a place.
pub(super) fn cell(settings: &Settings, place: &Place, device: Device) -> Cell {
    let train = settings.train(place, PLAIN, 0);
    let (n, kind, start) = (settings.n_final, place.kind, place.start_branch());
    let alphas = settings.alphas(kind);
    // a masked label agrees with none
    let free = if kind == Kind::Guessed { 2 } else { 1 };
    let work = n * 50 + SEARCHED * 100 * free * alphas.len();
    let specification = json!({
        "kind": "where-reference/1", "prompt": train.prompt, "labels": train.labels,
        "n_final": n, "alphas": alphas, "start": start
    });
    let weight = (work * place.n_demos) as f64 / 2e8;
    Cell::new(place.reference_name(), weight, specification, schema(), move |_| {
        let batch = |train: &TrainSettings, n: usize| -> anyhow::Result<PromptBatch> {
            Ok(train.test_sampler(device.isa())?.batch(0, n))
        };
        let last = batch(&train, n)?;
        let chosen = TrainSettings { evaluation: Some("search".into()), ..train.clone() };
        let (searched, views) = (views(&batch(&chosen, SEARCHED)?), views(&last));
        let mirror = |views: &[View]| views.iter().map(View::mirrored).collect::<Vec<_>>();
        let (searched_mirror, views_mirror) = (mirror(&searched), mirror(&views));
        let bayes: Vec<f64> = (0..n).map(|p| posterior_mean(&last, p, train.labels)).collect();
        let mut rows = vec![Row::new(RIDGE, 0.0, bayes)];
        for family in families(kind, &alphas) {
            rows.push(if family.mirrored {
                family.row(&searched_mirror, &views_mirror, 1)
            } else {
                family.row(&searched, &views, free)
            });
        }
        table(&views, &rows, start)
    })
}

/// A predictor with its weights and what it predicts.
struct Row {
    name: &'static str,
    alpha: f64,
    predictions: Vec<f64>,
    /// `beta`, `agreement`, `c`, mean softmax mass of the query.
    weights: [f64; 4],
}

impl Row {
    fn new(name: &'static str, alpha: f64, predictions: Vec<f64>) -> Self {
        Self { name, alpha, predictions, weights: [0.0; 4] }
    }
}

impl Family {
    /// The best weights on some views, applied to others.
    fn row(&self, searched: &[View], views: &[View], free: usize) -> Row {
        let keep = 1.0 - self.alpha;
        let Best { scores, c } = search(searched, keep, self.sign, free);
        let seen: Vec<[f64; 2]> = views.iter().map(|view| view.smoothed(scores, keep)).collect();
        let masses: Vec<f64> = seen.iter().map(|[_, mass]| *mass).collect();
        let mass = order::mean(&masses).unwrap_or(f64::NAN);
        let predictions = seen.iter().map(|[s, _]| c * s).collect();
        let weights = [scores.beta, scores.agreement, c, mass];
        Row { weights, ..Row::new(self.name, self.alpha, predictions) }
    }
}

fn table(views: &[View], rows: &[Row], start: &str) -> anyhow::Result<Table> {
    let find = |name: &str| rows.iter().find(|row| row.name == name && row.alpha == 0.0);
    let (ridge, start) = (find(RIDGE).context("ridge")?, find(start).context("start")?);
    let numbers = |row: &Row| {
        let [loss, above_ridge, above_start] = [None, Some(ridge), Some(start)]
            .map(|base| excess(views, &row.predictions, base.map(|row| &row.predictions[..])));
        [&loss[..], &above_ridge[..], &above_start[..], &row.weights[..]].concat()
    };
    let numbers: Vec<Vec<f64>> = rows.iter().map(numbers).collect();
    let mut builder = Table::builder("reference")
        .texts("predictor", &rows.iter().map(|row| row.name).collect::<Vec<_>>())
        .floats("alpha", rows.iter().map(|row| row.alpha).collect());
    for (i, name) in NUMBERS.into_iter().enumerate() {
        builder = builder.floats(name, numbers.iter().map(|row| row[i]).collect());
    }
    Ok(builder.build()?)
}

fn views(batch: &PromptBatch) -> Vec<View> {
    let view = |p: usize| {
        let (x, labels) = prompt(batch, p);
        View::new(&x, labels, f64::from(batch.target(p)[0]))
    };
    (0..batch.n_prompts).map(view).collect()
}

/// Inputs and labels of a prompt, the query's last.
fn prompt(batch: &PromptBatch, p: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let numbers: Vec<f64> = batch.prompt(p).iter().map(|x| f64::from(*x)).collect();
    let d_t = batch.shape.d_t;
    let tokens = numbers.chunks_exact(batch.shape.d());
    tokens.map(|token| (token[..d_t].to_vec(), token[d_t])).unzip()
}

/// The mean of the answer given prompt `p` of a batch.
fn posterior_mean(batch: &PromptBatch, p: usize, labels: Labels) -> f64 {
    let (x, y) = prompt(batch, p);
    let n = batch.shape.n_demos;
    let mut variances = vec![labels.noise * labels.noise; n];
    if let QueryLabel::Guess(noise) = labels.query {
        variances.push(noise * noise);
    }
    ridge(&x[..variances.len()], &y[..variances.len()], &variances, &x[n])
}
