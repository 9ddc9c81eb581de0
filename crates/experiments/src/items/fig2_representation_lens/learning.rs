//! The three schemes on one prompt in full, and what two of them do to the pairs of many prompts.

use super::PROMPTS;
use crate::scheme::matrices::{MATRICES, Matrices};
use crate::scheme::prompt::{SchemePrompt, Settings};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::Matrix;
use dual_model::contrastive;
use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{Exact, FeatureMap as _};
use icl_model::device::Device;
use icl_numerics::finite_difference;
use icl_numerics::{largest, order};

/// One prompt's demonstrations, the model before any step, and the values that the contrastive step pulls with.
struct Start<'a> {
    map: &'a Exact,
    query: &'a [f64],
    demonstrations: Vec<KeyValue<'a>>,
    dual: FeatureDual<'a, Exact>,
    shares: Matrix,
    pulls: Matrix,
}

impl<'a> Start<'a> {
    fn new(prompt: &'a SchemePrompt, map: &'a Exact, tau: f64) -> anyhow::Result<Self> {
        let (demonstrations, side) = prompt.pairs();
        let query = prompt.query();
        let dual = FeatureDual::initial(map, &demonstrations, &side, query)?;
        let similar = contrastive::similarities(map, dual.weights(), &demonstrations)?;
        let shares = contrastive::shares(&similar, tau);
        let pulls = contrastive::pulls(&demonstrations, &shares)?;
        Ok(Self { map, query, demonstrations, dual, shares, pulls })
    }

    /// The demonstrations with the values of the contrastive step.
    fn contrasted(&self) -> Vec<KeyValue<'_>> {
        let pair = |(i, pair): (usize, &KeyValue<'a>)| KeyValue {
            key: pair.key,
            value: self.pulls.row(i),
        };
        self.demonstrations.iter().enumerate().map(pair).collect()
    }

    /// The model after one step on these pairs, and what each of them adds to the prediction for the query.
    fn step(
        &self,
        pairs: &[KeyValue<'_>],
    ) -> anyhow::Result<(FeatureDual<'a, Exact>, Vec<Vec<f64>>)> {
        let mut dual = self.dual.clone();
        let mut increments = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let before = dual.predict(self.query)?;
            dual.step(*pair)?;
            let after = dual.predict(self.query)?;
            increments.push(after.iter().zip(&before).map(|(a, b)| a - b).collect());
        }
        Ok((dual, increments))
    }

    /// What a step adds to the similarities `v_j^T W phi(k_i)`, `[i, j]`.
    fn gained(&self, after: &FeatureDual<'_, Exact>) -> anyhow::Result<Matrix> {
        let of = |dual: &FeatureDual<'_, Exact>| {
            contrastive::similarities(self.map, dual.weights(), &self.demonstrations)
        };
        let (before, after) = (of(&self.dual)?, of(after)?);
        let n = before.rows();
        Ok(Matrix::from_fn(n, n, |i, j| after.row(i)[j] - before.row(i)[j]))
    }

    /// `D`, from the first demonstration's step: `dW = v phi(k)^T / D`.
    fn normaliser(&self) -> f64 {
        let phi = self.map.query_features(self.query);
        let anchors = self.demonstrations.iter().map(|pair| self.map.key_features(pair.key));
        anchors.map(|key| order::dot(&key, &phi)).sum()
    }
}

/// The demonstrations' part of `D` and the query token's.
fn whole_normaliser(start: &Start<'_>, prompt: &SchemePrompt) -> f64 {
    let (_, side) = prompt.pairs();
    let phi = start.map.query_features(start.query);
    let of_side = side.iter().map(|pair| order::dot(&start.map.key_features(pair.key), &phi));
    start.normaliser() + of_side.sum::<f64>()
}

/// Closed gradient of the contrastive loss (`eta = 1`) and the one by finite differences.
fn gradients(start: &Start<'_>, normaliser: f64, tau: f64) -> anyhow::Result<[Matrix; 2]> {
    let weights = start.dual.weights();
    let (rows, columns) = (weights.rows(), weights.columns());
    let phi: Vec<Vec<f64>> =
        start.demonstrations.iter().map(|pair| start.map.key_features(pair.key)).collect();
    let closed = Matrix::from_fn(rows, columns, |c, r| {
        let terms: Vec<f64> =
            phi.iter().enumerate().map(|(i, phi)| start.pulls.row(i)[c] * phi[r]).collect();
        -order::sum(&terms) / normaliser
    });
    let loss = |entries: &[f64]| {
        let similar = Matrix::new(rows, columns, entries.to_vec())
            .and_then(|w| contrastive::similarities(start.map, &w, &start.demonstrations));
        similar.map_or(f64::NAN, |similar| contrastive::loss(&similar, tau, normaliser))
    };
    let by_differences = finite_difference::gradient(loss, weights.entries());
    Ok([closed, Matrix::new(rows, columns, by_differences)?])
}

/// All that is drawn of one prompt.
pub(super) fn matrices(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let prompt = SchemePrompt::new(settings, device)?;
    let map = prompt.features();
    let start = Start::new(&prompt, &map, settings.temperature)?;
    let (weights, output) = prompt.attention()?;
    let values: Vec<Vec<f64>> =
        start.demonstrations.iter().map(|pair| pair.value.to_vec()).collect();
    let (without, without_steps) = start.step(&start.demonstrations)?;
    let contrasted = start.contrasted();
    let (contrast, contrast_steps) = start.step(&contrasted)?;
    let attended: Vec<Vec<f64>> = values
        .iter()
        .zip(&weights)
        .map(|(value, weight)| value.iter().map(|v| weight * v).collect())
        .collect();
    let of_pulls: Vec<Vec<f64>> = (0..settings.n_demos)
        .map(|i| start.pulls.row(i).iter().map(|v| weights[i] * v).collect())
        .collect();
    let normaliser = whole_normaliser(&start, &prompt);
    let [closed, differences] = gradients(&start, normaliser, settings.temperature)?;
    let mut all = Matrices::default();
    all.add_columns("values", &values);
    all.add_columns(
        "keys",
        &start.demonstrations.iter().map(|p| p.key.to_vec()).collect::<Vec<_>>(),
    );
    all.add("shares", start.shares.clone());
    all.add_transposed("pulls", &start.pulls);
    all.add_columns("before", &[start.dual.predict(start.query)?]);
    all.add_columns("without: increments", &without_steps);
    all.add_columns("without: prediction", &[without.predict(start.query)?]);
    all.add("without: gained", start.gained(&without)?);
    all.add_columns("contrastive: increments", &contrast_steps);
    all.add_columns("contrastive: prediction", &[contrast.predict(start.query)?]);
    all.add("contrastive: gained", start.gained(&contrast)?);
    all.add_columns("contrastive: attention to pulls", &of_pulls);
    all.add_columns("in context: increments", &attended);
    all.add_columns("in context: prediction", &[output]);
    let n = settings.n_demos;
    all.add("in context: weights", Matrix::new(1, n, weights[..n].to_vec())?);
    all.add("contrastive: gradient", closed);
    all.add("contrastive: gradient by differences", differences);
    all.to_table(MATRICES)
}

/// Columns of the prompts: in how many pairs the similarity `v_i^T W phi(k_i)` rises by the step without negatives and by the
/// contrastive one, in how many the contrast `(v_i - sum_j p_ij v_j)^T W phi(k_i)` does, the smallest gain of a similarity by
/// the first, and its gains' sum over `D |dW|^2`, which it equals.
pub(super) fn prompts_schema() -> Schema {
    let integer = |name: &str| (name.to_owned(), ColumnType::Integer);
    let float = |name: &str| (name.to_owned(), ColumnType::Float);
    vec![
        integer("prompt"),
        integer("similar_without"),
        integer("similar_contrastive"),
        integer("contrast_without"),
        integer("contrast_contrastive"),
        float("smallest_gain"),
        float("sum_over_square"),
    ]
}

/// Counts of pairs that gain, and the two numbers, of one prompt.
fn gains(prompt: &SchemePrompt, settings: &Settings) -> anyhow::Result<([i64; 4], [f64; 2])> {
    let map = prompt.features();
    let start = Start::new(prompt, &map, settings.temperature)?;
    let n = settings.n_demos;
    let (without, _) = start.step(&start.demonstrations)?;
    let (contrast, _) = start.step(&start.contrasted())?;
    let gained = [start.gained(&without)?, start.gained(&contrast)?];
    let similar = gained.each_ref().map(|g| (0..n).map(|i| g.row(i)[i]).collect::<Vec<f64>>());
    let contrasts = gained.each_ref().map(|g| {
        let of = |i: usize| g.row(i)[i] - order::dot(start.shares.row(i), g.row(i));
        (0..n).map(of).collect::<Vec<f64>>()
    });
    let count = |gains: &Vec<f64>| gains.iter().filter(|gain| **gain > 0.0).count() as i64;
    let change: Vec<f64> = without
        .weights()
        .entries()
        .iter()
        .zip(start.dual.weights().entries())
        .map(|(after, before)| after - before)
        .collect();
    let square = order::sum_of_squares(&change) * whole_normaliser(&start, prompt);
    let counts = [&similar[0], &similar[1], &contrasts[0], &contrasts[1]].map(count);
    let smallest = largest::least(similar[0].iter().copied());
    Ok((counts, [smallest, order::sum(&similar[0]) / square]))
}

/// Every held-out prompt.
pub(super) fn prompts(settings: &Settings, device: Device) -> anyhow::Result<Table> {
    let all = SchemePrompt::several(settings, device, 0..settings.prompts)?;
    let (mut counts, mut floats): ([Vec<i64>; 4], [Vec<f64>; 2]) = Default::default();
    for prompt in &all {
        let (count, row) = gains(prompt, settings)?;
        counts.iter_mut().zip(count).for_each(|(column, x)| column.push(x));
        floats.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }
    let mut builder =
        Table::builder(PROMPTS).integers("prompt", (0..settings.prompts as i64).collect());
    let schema = prompts_schema();
    for ((name, _), column) in schema[1..5].iter().zip(counts) {
        builder = builder.integers(name, column);
    }
    for ((name, _), column) in schema[5..].iter().zip(floats) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}
