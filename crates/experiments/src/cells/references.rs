//! What a trained layer's loss is compared with, on the same prompts: the target's variance, predictors that look at
//! no input, and the floor of attention.
//!
//! ```text
//! constant            E s                          E |s - E s|^2 = Var(s): the unit of all others
//! mean label          m = (1/N) sum_i s_i
//! scaled mean         a m                          a = E[s m] / E[m^2]
//! affine in the mean  a m + b                      least squares
//! floor               sum_h c_h sum_i p_hi s_i     the best weights, of `dual_model::floor`
//! ```

use super::machine;
use super::training::{FINAL, HELD_OUT};
use anyhow::Context as _;
use artifact::cell::{Cell, Context};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::floor::{self, Head, Problem, Query, Sampling};
use icl_model::device::Device;
use icl_model::prompt::{PromptSampler, PromptShape};
use icl_model::settings::TrainSettings;
use icl_numerics::{math, order};
use serde_json::json;

/// Which references, on how many prompts.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct ReferenceSettings {
    /// The runs that are compared; of them only the prompts and the heads count.
    pub(crate) train: TrainSettings,
    /// Prompts of the final set.
    pub(crate) n_final: usize,
    /// Whether attention's floor is known: the linear task, exact softmax, uniform inputs.
    pub(crate) floor: bool,
}

/// Queries that the floor's weights are found on: the loss is flat around them.
const FLOOR_PROMPTS: u64 = 65_536;

/// Predictors without inputs, in the order of tables.
pub(crate) const TRIVIAL: [&str; 4] =
    ["constant", "mean label", "scaled mean", "affine in the mean"];
const FLOOR: &str = "floor";
const SQUARE: &str = "mean square";
const DEVIATION: &str = "median absolute deviation";
const STANDARD: &str = "standard deviation";

/// Columns: set of prompts, what, and its value; losses over `Var(s)` of the set.
fn schema() -> Schema {
    vec![
        ("set".into(), ColumnType::Text),
        ("reference".into(), ColumnType::Text),
        ("value".into(), ColumnType::Float),
    ]
}

/// A cell that computes the references.
pub(crate) fn cell(name: String, settings: ReferenceSettings, device: Device) -> Cell {
    let train = &settings.train;
    // only what the prompts and the floor depend on is part of the cell's identity
    let specification = json!({
        "kind": "references/2", "task": train.task, "scale": train.scale, "prompt": train.prompt,
        "inputs": train.inputs, "map": train.map, "heads": train.n_heads, "n_held_out": train.n_validation,
        "n_final": settings.n_final, "floor": settings.floor,
    });
    let weight = settings.n_final as f64 * train.prompt.n_tokens() as f64 / 2e6
        + if settings.floor { 2.0 * train.n_heads as f64 } else { 0.0 };
    Cell::new(name, weight, specification, schema(), move |context| {
        compute(context, &settings, device)
    })
}

/// The references of a set of prompts, [`FINAL`] or [`HELD_OUT`].
pub(crate) struct References(Vec<(String, f64)>);

impl References {
    pub(crate) fn of(table: &Table, set: &str) -> anyhow::Result<Self> {
        let rows = table.texts("reference")?.into_iter().zip(table.floats("value")?);
        let of_set = table.texts("set")?.into_iter().zip(rows).filter(|row| row.0 == set);
        Ok(Self(of_set.map(|row| row.1).collect()))
    }

    fn get(&self, name: &str) -> anyhow::Result<f64> {
        let found = self.0.iter().find(|row| row.0 == name).map(|row| row.1);
        found.with_context(|| format!("references: found no `{name}`"))
    }

    /// `E[s^2] / Var(s)`: turns losses relative to the one into losses relative to the other.
    pub(crate) fn square(&self) -> anyhow::Result<f64> {
        self.get(SQUARE)
    }

    /// `sd(s) / MAD(s)`: turns a root of a loss relative to the variance into a robust relative error.
    pub(crate) fn robust_scale(&self) -> anyhow::Result<f64> {
        Ok(self.get(STANDARD)? / self.get(DEVIATION)?)
    }

    /// The best of the predictors without inputs.
    pub(crate) fn best_trivial(&self) -> anyhow::Result<(&'static str, f64)> {
        let all = TRIVIAL.map(|name| self.get(name).map(|value| (name, value)));
        let all = all.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        all.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).context("no predictor")
    }

    /// Attention's floor, where it is known.
    pub(crate) fn floor(&self) -> Option<f64> {
        self.get(FLOOR).ok()
    }
}

fn compute(
    context: &Context<'_>,
    settings: &ReferenceSettings,
    device: Device,
) -> anyhow::Result<Table> {
    let train = &settings.train;
    let heads = if settings.floor { best_heads(train, device)? } else { Vec::new() };
    context.advance(0.5);
    let mut rows = Vec::new();
    let isa = device.isa();
    for (set, sampler, n) in [
        (HELD_OUT, train.validation_sampler(isa)?, train.n_validation),
        (FINAL, train.test_sampler(isa)?, settings.n_final),
    ] {
        let moments = Moments::of(&sampler, n, &heads);
        let variance = moments.variance();
        rows.extend(moments.losses().into_iter().map(|(name, loss)| (set, name, loss)));
        rows.push((set, SQUARE, moments.square / variance));
        rows.push((set, STANDARD, variance.sqrt()));
        rows.push((set, DEVIATION, moments.deviation));
        if settings.floor {
            rows.push((set, FLOOR, moments.floor_error / variance));
        }
    }
    let table = Table::builder("references")
        .texts("set", &rows.iter().map(|row| row.0).collect::<Vec<_>>())
        .texts("reference", &rows.iter().map(|row| row.1).collect::<Vec<_>>())
        .floats("value", rows.iter().map(|row| row.2).collect())
        .build()?;
    Ok(table)
}

/// The loss of attention with given heads on prompts `0 .. n`, relative to `E[s^2]` there.
pub(crate) fn relative_loss(sampler: &PromptSampler, n: usize, heads: &[Head]) -> f64 {
    let moments = Moments::of(sampler, n, heads);
    moments.floor_error / moments.square
}

/// The best weights of attention with the query token in its softmax.
fn best_heads(train: &TrainSettings, device: Device) -> anyhow::Result<Vec<Head>> {
    let PromptShape { n_demos, d_t, .. } = train.prompt;
    let heads = train.n_heads;
    let problem = Problem { n_demos, d_t, heads, query: Query::Inside, ..Problem::default() };
    let sampling = Sampling { prompts: Some(FLOOR_PROMPTS), seed: 0 };
    let found = floor::floor(&problem, sampling, &machine(device).threads)?;
    Ok(found.lowest().heads.clone())
}

/// Means over the prompts of a set, every entry of a target for itself.
struct Moments {
    mean: f64,
    square: f64,
    label: f64,
    label_square: f64,
    product: f64,
    label_error: f64,
    floor_error: f64,
    deviation: f64,
}

impl Moments {
    fn of(sampler: &PromptSampler, n: usize, heads: &[Head]) -> Self {
        let batch = sampler.batch(0, n);
        let (d, label) = (batch.shape.d(), batch.shape.label());
        let mut targets = Vec::new();
        let mut labels = Vec::new();
        let mut floor_errors = Vec::new();
        for p in 0..n {
            let tokens: Vec<f64> = batch.prompt(p).into_iter().map(f64::from).collect();
            let demos: Vec<&[f64]> = tokens.chunks(d).take(batch.shape.n_demos).collect();
            let weights = combined_weights(heads, &tokens, batch.shape);
            for (target, column) in batch.target(p).into_iter().zip(label.clone()) {
                let of: Vec<f64> = demos.iter().map(|token| token[column]).collect();
                labels.push(order::sum(&of) / of.len() as f64);
                targets.push(f64::from(target));
                let far = order::dot(&weights, &of) - f64::from(target);
                floor_errors.push(far * far);
            }
        }
        let mean = |of: &dyn Fn(usize) -> f64| {
            order::mean(&(0..targets.len()).map(of).collect::<Vec<f64>>()).unwrap_or(f64::NAN)
        };
        let square = |x: f64| x * x;
        Self {
            mean: mean(&|i| targets[i]),
            square: mean(&|i| square(targets[i])),
            label: mean(&|i| labels[i]),
            label_square: mean(&|i| square(labels[i])),
            product: mean(&|i| targets[i] * labels[i]),
            label_error: mean(&|i| square(targets[i] - labels[i])),
            floor_error: mean(&|i| floor_errors[i]),
            deviation: deviation(&targets),
        }
    }

    fn variance(&self) -> f64 {
        self.square - self.mean * self.mean
    }

    /// Losses of the predictors without inputs, over the variance.
    fn losses(&self) -> Vec<(&'static str, f64)> {
        let variance = self.variance();
        let covariance = self.product - self.mean * self.label;
        let label_variance = self.label_square - self.label * self.label;
        let scaled = self.square - self.product * self.product / self.label_square;
        let affine = variance - covariance * covariance / label_variance;
        let losses = [variance, self.label_error, scaled, affine].map(|loss| loss / variance);
        TRIVIAL.into_iter().zip(losses).collect()
    }
}

/// `sum_h c_h p_hi` of every demonstration.
fn combined_weights(heads: &[Head], tokens: &[f64], shape: PromptShape) -> Vec<f64> {
    let mut weights = vec![0.0; shape.n_demos];
    let inputs: Vec<&[f64]> = tokens.chunks(shape.d()).map(|token| &token[..shape.d_t]).collect();
    let query = inputs[shape.n_demos];
    for head in heads {
        let kernel = |x: &&[f64]| math::exp(head.beta * order::dot(x, query));
        let kernels: Vec<f64> = inputs.iter().map(kernel).collect();
        let normaliser = order::sum(&kernels);
        for (weight, kernel) in weights.iter_mut().zip(&kernels) {
            *weight += head.c * kernel / normaliser;
        }
    }
    weights
}

/// Median distance from the median.
fn deviation(values: &[f64]) -> f64 {
    let median = |mut values: Vec<f64>| {
        let middle = values.len() / 2;
        *values.select_nth_unstable_by(middle, f64::total_cmp).1
    };
    let centre = median(values.to_vec());
    median(values.iter().map(|x| (x - centre).abs()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_model::task::Scale;

    fn references(task: &str, scale: Scale, n_heads: usize, floor: bool) -> References {
        let prompt = PromptShape { n_demos: 5, d_t: 3, d_s: 1 };
        let task = task.to_owned();
        let train = TrainSettings { task, scale, prompt, n_heads, ..TrainSettings::base() };
        let settings = ReferenceSettings { train, n_final: 16_384, floor };
        let table = compute(
            &Context::detached(),
            &settings,
            Device::Cpu(icl_numerics::lanes::Isa::detect()),
        );
        References::of(&table.unwrap(), FINAL).unwrap()
    }

    #[test]
    fn no_predictor_without_inputs_learns_the_linear_task() {
        let found = references("linear", Scale::Raw, 1, true);
        let (_, best) = found.best_trivial().unwrap();
        // labels of other inputs are independent of the query's in sign: nothing beats the constant beyond chance
        assert!((0.998..=1.0).contains(&best), "{best}");
        // E m^2 = Var / 5, so the mean label itself loses 1/5
        assert!((found.get("mean label").unwrap() - 1.2).abs() < 0.03);
        assert!(found.floor().unwrap() < 0.9);
    }

    #[test]
    fn the_floor_is_that_of_other_prompts_within_their_error() {
        let problem = Problem { n_demos: 5, d_t: 3, ..Problem::default() };
        let threads = icl_numerics::threads::Threads::One;
        let sampling = Sampling { prompts: Some(FLOOR_PROMPTS), seed: 0 };
        let population = floor::floor(&problem, sampling, &threads).unwrap().lowest().nmse;
        let same = references("linear", Scale::Raw, 1, true).floor().unwrap();
        // standard error of a ratio over 16384 prompts of kurtosis about 9: sqrt(8 / 16384) = .02
        assert!((same / population - 1.0).abs() < 0.06, "{same} {population}");
    }

    #[test]
    fn the_mean_label_is_most_of_an_even_task() {
        let found = references("cosine", Scale::Unit, 1, false);
        let (name, best) = found.best_trivial().unwrap();
        assert!(name == "affine in the mean" && best < 0.97, "{best}");
        assert!(found.square().unwrap() > 1.5 && found.floor().is_none());
    }
}
