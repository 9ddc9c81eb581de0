//! The equivalence curve: distance of the dual's prediction from attention's output along the dual's
//! gradient steps, over held-out prompts and random orders.
//!
//! One side is the candle layer of `icl-model`, the other is `dual-model`; both get the same trained
//! weights and tokens in `f64`, and the projections that the dual takes are computed here.

use artifact::cell::Cell;
use artifact::statistics::standard_error;
use artifact::table::{ColumnType, Schema, Table};
use candle_core::{DType, Device, Tensor};
use dual_model::DualError;
use dual_model::dual::{ExactDual, Normaliser, Pair};
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{Positive, gaussian_rows};
use dual_model::step_curve::{distance, mean_square_curve};
use icl_model::attention::{self, LayerShape, Weights};
use icl_model::composite::{AttentionKernel, Layer};
use icl_model::train::{TrainSettings, Trainer};
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::Serialize;
use serde_json::json;

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

/// Columns: distance over prompts and orders (mean, 95 % quantiles), its mean square with the standard
/// error over the orders, the closed form of that, and the largest distance relative to the output's norm.
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

/// A cell that trains and measures the three curves.
pub(crate) fn cell(settings: CurveSettings, isa: Isa) -> Cell {
    let work = settings.prompts as f64
        * (settings.orders as f64 * 2e-5 + settings.feature_orders as f64 * 4e-3);
    Cell {
        specification: json!({ "kind": "equivalence/2", "settings": settings }),
        label: format!("{} equivalence curve", settings.train.task),
        weight: super::training::weight(&settings.train, 0) + 20.0 * work,
        schema: schema(),
        compute: Box::new(move || Ok(measure(&settings, isa)?)),
    }
}

/// One head of one prompt as the dual sees it.
struct HeadView {
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
    query: Vec<f64>,
}

impl HeadView {
    fn pairs(&self) -> Vec<Pair<'_>> {
        self.keys.iter().zip(&self.values).map(|(key, value)| Pair { key, value }).collect()
    }
}

/// A dual for all heads: steps and predictions are summed over heads.
trait Dual {
    fn step(&mut self, i: usize) -> anyhow::Result<()>;
    fn predict(&self) -> anyhow::Result<Vec<f64>>;
}

struct Exact<'a> {
    heads: Vec<(ExactDual<'a>, Vec<Pair<'a>>, &'a [f64])>,
}

struct Features<'a> {
    heads: Vec<(FeatureDual<'a, Positive>, Vec<Pair<'a>>, &'a [f64])>,
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
    fn initial(views: &'a [HeadView]) -> anyhow::Result<Self> {
        let head = |view: &'a HeadView| {
            let pairs = view.pairs();
            let (demos, side) = pairs.split_at(pairs.len() - 1);
            let keys = pairs.iter().map(|pair| pair.key);
            let normaliser =
                Normaliser::new(keys, &view.query).ok_or(DualError::NothingVisible { query: 0 })?;
            let dual = ExactDual::initial(side, normaliser, side[0].value.len())?;
            anyhow::Ok((dual, demos.to_vec(), view.query.as_slice()))
        };
        Ok(Self { heads: views.iter().map(head).collect::<Result<_, _>>()? })
    }
}

impl<'a> Features<'a> {
    fn initial(views: &'a [HeadView], map: &'a Positive) -> anyhow::Result<Self> {
        let head = |view: &'a HeadView| {
            let pairs = view.pairs();
            let (demos, side) = pairs.split_at(pairs.len() - 1);
            let dual = FeatureDual::initial(map, demos, side, &view.query)?;
            anyhow::Ok((dual, demos.to_vec(), view.query.as_slice()))
        };
        Ok(Self { heads: views.iter().map(head).collect::<Result<_, _>>()? })
    }
}

/// Everything both sides need, in `f64`.
struct Trained {
    d: usize,
    n_heads: usize,
    tokens: Tensor,
    weights: Weights,
    projections: [Vec<f64>; 3],
    prompts: Vec<Vec<f64>>,
}

fn trained(settings: &CurveSettings, isa: Isa) -> anyhow::Result<Trained> {
    let mut trainer = Trainer::new(settings.train.clone(), isa)?;
    trainer.run()?;
    let parameters = trainer.parameters();
    let (d, n_heads) = (settings.train.prompt.d(), settings.train.n_heads);
    let device = Device::Cpu;
    let wide = |name: &str| -> Vec<f64> {
        parameters.get(name).unwrap_or(&[]).iter().map(|x| f64::from(*x)).collect()
    };
    let projections = ["w_q", "w_k", "w_v"].map(wide);
    let vars = parameters.to_vars(DType::F64, &device)?;
    let weights = vars.into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    let held_out = trainer.held_out();
    let n = settings.prompts.min(held_out.n_prompts);
    let tokens = held_out.tokens_tensor(DType::F64, &device)?.narrow(0, 0, n)?;
    let widen = |p: usize| held_out.prompt(p).into_iter().map(f64::from).collect();
    Ok(Trained { d, n_heads, tokens, weights, projections, prompts: (0..n).map(widen).collect() })
}

impl Trained {
    /// `h'` of every prompt by the candle layer, `[prompts][d]`.
    fn attention(&self, kernel: &AttentionKernel) -> anyhow::Result<Vec<Vec<f64>>> {
        let plain = attention::parse("plain")?;
        let shape = LayerShape { d: self.d, n_heads: self.n_heads };
        let layer = Layer { shape, modification: plain.as_ref(), kernel };
        Ok(layer.query_output(&self.weights, &self.tokens)?.to_vec2()?)
    }

    /// Keys, values and query of every head of prompt `p`.
    fn views(&self, p: usize) -> Vec<HeadView> {
        let d = self.d;
        let rows: Vec<&[f64]> = self.prompts[p].chunks_exact(d).collect();
        let scale = 1.0 / (d as f64).sqrt().sqrt();
        let project = |which: usize, head: usize, x: &[f64], scale: f64| -> Vec<f64> {
            let matrix = &self.projections[which][head * d * d..][..d * d];
            matrix.chunks_exact(d).map(|row| scale * order::dot(row, x)).collect()
        };
        let view = |head: usize| HeadView {
            keys: rows.iter().map(|x| project(1, head, x, scale)).collect(),
            values: rows.iter().map(|x| project(2, head, x, 1.0)).collect(),
            query: rows.last().map(|x| project(0, head, x, scale)).unwrap_or_default(),
        };
        (0..self.n_heads).map(view).collect()
    }
}

/// Distances of one dual over prompts and orders, by step.
pub(crate) struct Curve {
    distances: Vec<Vec<f64>>,
    closed: Vec<Vec<f64>>,
    largest_relative: Vec<f64>,
}

impl Curve {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            distances: vec![Vec::new(); steps],
            closed: vec![Vec::new(); steps],
            largest_relative: vec![0.0; steps],
        }
    }

    pub(crate) fn record(&mut self, step: usize, prediction: &[f64], attention: &[f64]) {
        let far = distance(prediction, attention);
        let norm = order::sum_of_squares(attention).sqrt();
        self.distances[step].push(far);
        let so_far = self.largest_relative[step];
        self.largest_relative[step] = largest::value([so_far, far / norm]);
    }

    /// `E |tail + o|^2`: the closed form of the tail sums, moved by the offset `o` that remains after
    /// the last step (zero where dual and attention have the same kernel).
    pub(crate) fn record_closed_form(&mut self, increments: &[Vec<f64>], offset: &[f64]) {
        let n = increments.len() as f64;
        let column = |c: usize| increments.iter().map(|a| a[c]).collect::<Vec<_>>();
        let totals: Vec<f64> = (0..offset.len()).map(|c| order::sum(&column(c))).collect();
        let (cross, square) = (order::dot(&totals, offset), order::sum_of_squares(offset));
        for (i, tail) in mean_square_curve(increments).into_iter().enumerate() {
            let left = (n - i as f64) / n;
            // the residual is h' - f_i = tail - o, with o = f_N - h'
            self.closed[i].push(tail - 2.0 * left * cross + square);
        }
    }
}

fn measure(settings: &CurveSettings, isa: Isa) -> anyhow::Result<Table> {
    let trained = trained(settings, isa)?;
    let rows = gaussian_rows(&Stream::new(0, "dual/features"), settings.d_r, trained.d);
    let omegas = Tensor::from_vec(rows.concat(), (settings.d_r, trained.d), &Device::Cpu)?;
    let map = Positive::new(rows);
    let softmax = trained.attention(&AttentionKernel::Softmax)?;
    let featured = trained.attention(&AttentionKernel::Positive(omegas))?;
    let n = settings.train.prompt.n_demos;
    let mut curves = [EXACT, FEATURES, FEATURES_SOFTMAX].map(|name| (name, Curve::new(n + 1)));
    let orders = Stream::new(0, "dual/orders");
    for p in 0..trained.prompts.len() {
        let views = trained.views(p);
        let most = settings.orders.max(settings.feature_orders);
        for o in 0..most {
            let order = rotated_order(&orders, [p, most, o], n);
            if o < settings.orders {
                let mut dual = Exact::initial(&views)?;
                walk(&mut dual, &order, |i, f| curves[0].1.record(i, f, &softmax[p]))?;
            }
            if o < settings.feature_orders {
                let mut dual = Features::initial(&views, &map)?;
                walk(&mut dual, &order, |i, f| {
                    curves[1].1.record(i, f, &featured[p]);
                    curves[2].1.record(i, f, &softmax[p]);
                })?;
            }
        }
        let exact = increments(&mut Exact::initial(&views)?, n)?;
        let feature = increments(&mut Features::initial(&views, &map)?, n)?;
        let zero = vec![0.0; trained.d];
        let offset: Vec<f64> = featured[p].iter().zip(&softmax[p]).map(|(f, h)| f - h).collect();
        curves[0].1.record_closed_form(&exact, &zero);
        curves[1].1.record_closed_form(&feature, &zero);
        curves[2].1.record_closed_form(&feature, &offset);
    }
    to_table(&curves)
}

/// Order `o` of `orders` of a prompt: random permutations, each with all its rotations.
///
/// Every order is uniform, and over the rotations of one permutation every demonstration is equally often
/// among those left after a step: means over orders vary much less than those of independent orders.
pub(crate) fn rotated_order(
    stream: &Stream,
    [prompt, orders, o]: [usize; 3],
    n: usize,
) -> Vec<usize> {
    let permutation = prompt * orders.div_ceil(n) + o / n;
    let mut order = stream.sample(permutation as u64).permutation(n);
    order.rotate_left(o % n);
    order
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

/// Standard error of the mean square of distances, prompt by prompt: the prompts are given, the
/// permutations of the `n` demonstrations are drawn, each with its rotations.
fn error_over_orders(distances: &[f64], prompts: usize, n: usize) -> f64 {
    let orders = (distances.len() / prompts.max(1)).max(1);
    // fewer orders than two permutations' rotations are taken one by one
    let group = if orders < 2 * n { 1 } else { n };
    let mean_square = |group: &[f64]| order::sum_of_squares(group) / group.len() as f64;
    let errors: Vec<f64> = distances
        .chunks_exact(orders)
        .map(|prompt| {
            let groups = prompt.chunks_exact(group).map(mean_square);
            standard_error(&groups.collect::<Vec<f64>>())
        })
        .collect();
    order::sum_of_squares(&errors).sqrt() / errors.len().max(1) as f64
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
