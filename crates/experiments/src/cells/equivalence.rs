//! The equivalence curve: distance of the dual's prediction from attention's output along the dual's
//! gradient steps, over held-out prompts and random orders.
//!
//! One side is the candle layer of `icl-model`, the other is `dual-model`; both get the same trained
//! weights and tokens in `f64`.

use super::orders::{OrderIndex, error_over_orders, rotated_order};
use super::{Kept, machine};
use crate::views::heads;
use artifact::cell::{self, Cell};
use artifact::table::{ColumnType, Schema, Table};
use candle_core::{DType, Tensor};
use dual_model::dual::{ExactDual, KeyValue, Normaliser};
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{Positive, gaussian_rows};
use dual_model::head::{Head, HeadMatrices};
use dual_model::step_curve::{distance, mean_square_curve};
use dual_model::{DualError, Matrix};
use icl_model::attention::{self, LayerShape, Weights};
use icl_model::device::Device;
use icl_model::kernel::{AttentionKernel, Kernel, Omegas};
use icl_model::reference::Layer;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::Serialize;
use serde_json::json;
use std::ops::Range;

/// Settings of a curve.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CurveSettings {
    /// The training run whose weights are used.
    pub(crate) train: TrainSettings,
    /// Held-out prompts.
    pub(crate) prompts: usize,
    /// Random orders per prompt for the exact dual.
    pub(crate) orders: usize,
    /// Random orders per prompt for the feature dual.
    pub(crate) feature_orders: usize,
    /// Features of the feature dual.
    pub(crate) d_r: usize,
}

/// The curves: which dual, and which attention its prediction is compared with.
pub(crate) const EXACT: &str = "exact dual";
/// Feature dual against attention with the same features.
pub(crate) const FEATURES: &str = "feature dual, feature attention";
/// Feature dual against softmax attention.
pub(crate) const FEATURES_SOFTMAX: &str = "feature dual, softmax attention";

/// Columns: distance of the labels over prompts and orders (mean, 95 % quantiles), its mean square with the standard
/// error over the orders, the closed form of that, and the largest distance of whole outputs relative to their norm.
pub(crate) fn schema() -> Schema {
    let float = |name: &str| (name.to_owned(), ColumnType::Float);
    vec![
        ("dual".into(), ColumnType::Text),
        ("step".into(), ColumnType::Integer),
        float("mean"),
        float("lower"),
        float("upper"),
        float("mean_square"),
        float("standard_error"),
        float("closed_form"),
        float("largest_relative"),
    ]
}

impl CurveSettings {
    /// Weights of the training and of the curves.
    fn weights(&self) -> [f64; 2] {
        let work =
            self.prompts as f64 * (self.orders as f64 * 2e-5 + self.feature_orders as f64 * 4e-3);
        [super::training::weight(&self.train, 0), 20.0 * work]
    }
}

/// A cell that trains and measures the three curves.
pub(crate) fn cell(name: String, settings: CurveSettings, device: Device) -> Cell {
    Cell::new(
        name,
        settings.weights().into_iter().sum(),
        json!({ "kind": "equivalence/3", "settings": settings }),
        schema(),
        move |context| measure(context, &settings, device),
    )
}

/// A dual for all heads: steps and predictions are summed over heads.
trait Dual {
    fn step(&mut self, i: usize) -> anyhow::Result<()>;
    fn predict(&self) -> anyhow::Result<Vec<f64>>;
}

struct Exact<'a> {
    heads: Vec<(ExactDual<'a>, Vec<KeyValue<'a>>, &'a [f64])>,
}

struct Features<'a> {
    heads: Vec<(FeatureDual<'a, Positive>, Vec<KeyValue<'a>>, &'a [f64])>,
}

/// Element-wise sum of the heads' predictions, in the order of the heads.
fn total(heads: impl Iterator<Item = Result<Vec<f64>, DualError>>) -> anyhow::Result<Vec<f64>> {
    let heads: Vec<Vec<f64>> = heads.collect::<Result<_, _>>()?;
    let size = heads.first().map_or(0, Vec::len);
    Ok((0..size).map(|i| heads.iter().map(|head| head[i]).sum()).collect())
}

impl Dual for Exact<'_> {
    fn step(&mut self, i: usize) -> anyhow::Result<()> {
        self.heads.iter_mut().try_for_each(|(dual, pairs, _)| Ok(dual.step(pairs[i])?))
    }

    fn predict(&self) -> anyhow::Result<Vec<f64>> {
        total(self.heads.iter().map(|(dual, _, query)| dual.predict(query)))
    }
}

impl Dual for Features<'_> {
    fn step(&mut self, i: usize) -> anyhow::Result<()> {
        self.heads.iter_mut().try_for_each(|(dual, pairs, _)| Ok(dual.step(pairs[i])?))
    }

    fn predict(&self) -> anyhow::Result<Vec<f64>> {
        total(self.heads.iter().map(|(dual, _, query)| dual.predict(query)))
    }
}

impl<'a> Exact<'a> {
    fn initial(heads: &'a [Head]) -> anyhow::Result<Self> {
        let head = |head: &'a Head| {
            let (demos, side, query) = parts(head);
            let keys = head.keys.iter_rows();
            let normaliser =
                Normaliser::new(keys, query).ok_or(DualError::NothingVisible { query: 0 })?;
            let dual = ExactDual::initial(&side, normaliser, head.values.columns())?;
            anyhow::Ok((dual, demos, query))
        };
        Ok(Self { heads: heads.iter().map(head).collect::<Result<_, _>>()? })
    }
}

impl<'a> Features<'a> {
    fn initial(heads: &'a [Head], map: &'a Positive) -> anyhow::Result<Self> {
        let head = |head: &'a Head| {
            let (demos, side, query) = parts(head);
            let dual = FeatureDual::initial(map, &demos, &side, query)?;
            anyhow::Ok((dual, demos, query))
        };
        Ok(Self { heads: heads.iter().map(head).collect::<Result<_, _>>()? })
    }
}

/// Demonstrations, query side and query of a prompt, whose last token is the query.
fn parts(head: &Head) -> (Vec<KeyValue<'_>>, Vec<KeyValue<'_>>, &[f64]) {
    let last = head.n_tokens() - 1;
    (head.key_values(0..last), head.key_values(last..last + 1), head.queries.row(last))
}

/// Everything both sides need, in `f64`.
struct Trained {
    d: usize,
    n_heads: usize,
    tokens: Tensor,
    weights: Weights,
    matrices: Vec<HeadMatrices>,
    prompts: Vec<Matrix>,
}

fn trained(
    context: &cell::Context<'_>,
    settings: &CurveSettings,
    device: Device,
) -> anyhow::Result<Trained> {
    let layer = LayerTraining::new(settings.train.clone(), &machine(device))?;
    let mut trainer = layer.trainer();
    trainer.run(&Kept::new(context)?)?;
    let parameters = trainer.parameters();
    let (d, n_heads) = (settings.train.prompt.d(), settings.train.n_heads);
    let matrices = heads::of_parameters(parameters, d)?;
    let weights = parameters.weights(DType::F64, device)?;
    let validation = layer.validation();
    let n = settings.prompts.min(validation.n_prompts);
    let tokens = validation.tokens_tensor(DType::F64, &device.candle()?)?.narrow(0, 0, n)?;
    let widen = |p: usize| {
        let tokens: Vec<f64> = validation.prompt(p).into_iter().map(f64::from).collect();
        Matrix::new(tokens.len() / d, d, tokens)
    };
    let prompts = (0..n).map(widen).collect::<Result<_, _>>()?;
    Ok(Trained { d, n_heads, tokens, weights, matrices, prompts })
}

impl Trained {
    /// `h'` of every prompt by the candle layer, `[prompts][d]`.
    fn attention(&self, kernel: &AttentionKernel) -> anyhow::Result<Vec<Vec<f64>>> {
        let plain = attention::parse("plain")?;
        let shape = LayerShape { d: self.d, n_heads: self.n_heads };
        let layer = Layer { shape, modification: plain.as_ref(), kernel };
        Ok(layer.query_output(&self.weights, &self.tokens)?.to_vec2()?)
    }

    /// Every head of prompt `p`.
    fn heads(&self, p: usize) -> Result<Vec<Head>, DualError> {
        self.matrices.iter().map(|matrices| Head::project(&self.prompts[p], matrices)).collect()
    }
}

/// Distances of one dual over prompts and orders, by step, in the entries that training reaches: those of the label.
///
/// The rows of `w_v` for the input's entries have no gradient and stay at their start; their part of the output would
/// show the start's standard deviation.
pub(crate) struct Curve {
    label: Range<usize>,
    distances: Vec<Vec<f64>>,
    closed: Vec<Vec<f64>>,
    largest_relative: Vec<f64>,
}

impl Curve {
    pub(crate) fn new(steps: usize, label: Range<usize>) -> Self {
        Self {
            label,
            distances: vec![Vec::new(); steps],
            closed: vec![Vec::new(); steps],
            largest_relative: vec![0.0; steps],
        }
    }

    /// Keeps the label's distance, and the largest distance of whole outputs relative to attention's norm.
    pub(crate) fn record(&mut self, step: usize, prediction: &[f64], attention: &[f64]) {
        let label = self.label.clone();
        self.distances[step].push(distance(&prediction[label.clone()], &attention[label]));
        let far = distance(prediction, attention);
        let norm = order::sum_of_squares(attention).sqrt();
        let so_far = self.largest_relative[step];
        self.largest_relative[step] = largest::value([so_far, far / norm]);
    }

    /// `E |tail + o|^2`: the closed form of the tail sums, moved by the offset `o` that remains after
    /// the last step (zero where dual and attention have the same kernel).
    pub(crate) fn record_closed_form(&mut self, increments: &[Vec<f64>], offset: &[f64]) {
        let part = |whole: &[f64]| whole[self.label.clone()].to_vec();
        let increments: Vec<Vec<f64>> = increments.iter().map(|a| part(a)).collect();
        let offset = part(offset);
        let n = increments.len() as f64;
        let column = |c: usize| increments.iter().map(|a| a[c]).collect::<Vec<_>>();
        let totals: Vec<f64> = (0..offset.len()).map(|c| order::sum(&column(c))).collect();
        let (cross, square) = (order::dot(&totals, &offset), order::sum_of_squares(&offset));
        for (i, tail) in mean_square_curve(&increments).into_iter().enumerate() {
            let left = (n - i as f64) / n;
            // the residual is h' - f_i = tail - o, with o = f_N - h'
            self.closed[i].push(tail - 2.0 * left * cross + square);
        }
    }
}

fn measure(
    context: &cell::Context<'_>,
    settings: &CurveSettings,
    device: Device,
) -> anyhow::Result<Table> {
    let [training, duals] = settings.weights();
    let share = training / (training + duals);
    let trained = trained(&context.part(0.0, share), settings, device)?;
    let rows = gaussian_rows(&Stream::new(0, "dual/features"), settings.d_r, trained.d);
    let omegas = Omegas::new(rows.concat(), trained.d);
    let map = Positive::new(rows);
    let softmax = trained.attention(&Kernel::Softmax)?;
    let featured = trained.attention(&Kernel::Positive(omegas))?;
    let (n, label) = (settings.train.prompt.n_demos, settings.train.prompt.label());
    let curve = |name| (name, Curve::new(n + 1, label.clone()));
    let mut curves = [EXACT, FEATURES, FEATURES_SOFTMAX].map(curve);
    let orders = Stream::new(0, "dual/orders");
    for p in 0..trained.prompts.len() {
        let heads = trained.heads(p)?;
        let most = settings.orders.max(settings.feature_orders);
        for o in 0..most {
            let order = rotated_order(&orders, OrderIndex { prompt: p, orders: most, order: o }, n);
            if o < settings.orders {
                let mut dual = Exact::initial(&heads)?;
                walk(&mut dual, &order, |i, f| curves[0].1.record(i, f, &softmax[p]))?;
            }
            if o < settings.feature_orders {
                let mut dual = Features::initial(&heads, &map)?;
                walk(&mut dual, &order, |i, f| {
                    curves[1].1.record(i, f, &featured[p]);
                    curves[2].1.record(i, f, &softmax[p]);
                })?;
            }
        }
        let exact = increments(&mut Exact::initial(&heads)?, n)?;
        let feature = increments(&mut Features::initial(&heads, &map)?, n)?;
        let zero = vec![0.0; trained.d];
        let offset: Vec<f64> = featured[p].iter().zip(&softmax[p]).map(|(f, h)| f - h).collect();
        curves[0].1.record_closed_form(&exact, &zero);
        curves[1].1.record_closed_form(&feature, &zero);
        curves[2].1.record_closed_form(&feature, &offset);
        context.part(share, 1.0).advance((p + 1) as f64 / trained.prompts.len() as f64);
    }
    to_table(&curves)
}

/// Trains in the given order and reports the prediction before and after every step.
fn walk(
    dual: &mut dyn Dual,
    order: &[usize],
    mut record: impl FnMut(usize, &[f64]),
) -> anyhow::Result<()> {
    record(0, &dual.predict()?);
    for (i, demonstration) in order.iter().enumerate() {
        dual.step(*demonstration)?;
        record(i + 1, &dual.predict()?);
    }
    Ok(())
}

/// What each demonstration's step adds to the prediction.
fn increments(dual: &mut dyn Dual, n: usize) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut before = dual.predict()?;
    let mut increments = Vec::with_capacity(n);
    for i in 0..n {
        dual.step(i)?;
        let after = dual.predict()?;
        increments.push(after.iter().zip(&before).map(|(a, b)| a - b).collect());
        before = after;
    }
    Ok(increments)
}

pub(crate) fn to_table(curves: &[(&str, Curve)]) -> anyhow::Result<Table> {
    let mut names = Vec::new();
    let mut steps = Vec::new();
    let mut columns: [Vec<f64>; 7] = Default::default();
    for (name, curve) in curves {
        for (step, distances) in curve.distances.iter().enumerate() {
            names.push(*name);
            steps.push(step as i64);
            let mut sorted = distances.clone();
            sorted.sort_by(f64::total_cmp);
            let quantile = |p: f64| sorted[(p * (sorted.len() - 1) as f64).round() as usize];
            let count = sorted.len() as f64;
            let row = [
                order::sum(distances) / count,
                quantile(0.025),
                quantile(0.975),
                order::sum_of_squares(distances) / count,
                error_over_orders(distances, curve.closed[step].len(), curve.distances.len() - 1),
                order::mean(&curve.closed[step]).unwrap_or(0.0),
                curve.largest_relative[step],
            ];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let [mean, lower, upper, mean_square, standard_error, closed_form, largest_relative] = columns;
    let table = Table::builder("equivalence")
        .texts("dual", &names)
        .integers("step", steps)
        .floats("mean", mean)
        .floats("lower", lower)
        .floats("upper", upper)
        .floats("mean_square", mean_square)
        .floats("standard_error", standard_error)
        .floats("closed_form", closed_form)
        .floats("largest_relative", largest_relative)
        .build()?;
    Ok(table)
}
