//! Every registered modification against the dual that is trained on the modified loss.
//!
//! The registry is asked for its examples and neutral settings; a new modification is checked here without a line
//! being added: as attention with other keys and values, which has a dual whatever they are, and, if its loss is
//! made of the three known terms, against the dual that is trained on that loss.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

mod places;

use candle_core::{DType, Tensor};
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::head::{Head, HeadMatrices};
use dual_model::modification::{
    ModifiedLoss, predict_after_full_batch_step, predict_after_sample_steps,
};
use icl_model::attention::{self, Augmentation, Form, LayerShape, Negatives, Rule, Steps, Weights};
use icl_model::kernel::Kernel;
use icl_model::reference::Layer;
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use icl_numerics::{math, order};
use places::everywhere;
use std::collections::BTreeMap;

const D: usize = 5;
const HEADS: usize = 2;
const N: usize = 7;

struct Fixture {
    tokens: Vec<f64>,
    variables: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Fixture {
    fn new(specification: &str, seed: u64) -> Self {
        let normals = |purpose: &str, n: usize| {
            let stream = Stream::new(seed, purpose);
            let mut draws = stream.sample(0);
            (0..n).map(|_| draws.normal()).collect::<Vec<_>>()
        };
        let mut variables = BTreeMap::new();
        for name in ["w_q", "w_k", "w_v"] {
            let values = normals(name, HEADS * D * D);
            variables.insert(name.to_owned(), (vec![HEADS, D, D], values));
        }
        for variable in attention::parse(specification).unwrap().variables(D) {
            let values = normals(&variable.name, variable.len());
            variables.insert(variable.name, (variable.shape, values));
        }
        Self { tokens: normals("tokens", (N + 1) * D), variables }
    }

    fn weights(&self) -> Weights {
        let tensors = self.variables.iter().map(|(name, (shape, values))| {
            (name.clone(), Tensor::from_slice(values, shape.as_slice(), &places::device()).unwrap())
        });
        Weights::new(tensors, DType::F64, &places::device(), Isa::Portable)
    }

    /// The candle layer's output for the query.
    fn attention(&self, specification: &str) -> Vec<f64> {
        let modification = attention::parse(specification).unwrap();
        let shape = LayerShape { d: D, n_heads: HEADS };
        let layer = Layer { shape, modification: modification.as_ref(), kernel: &Kernel::Softmax };
        let tokens = Tensor::from_slice(&self.tokens, (1, N + 1, D), &places::device()).unwrap();
        let output = layer.query_output(&self.weights(), &tokens).unwrap();
        output.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The plain dual's prediction for the keys and values that the modification makes, heads summed.
    fn plain_dual(&self, specification: &str) -> Vec<f64> {
        let modification = attention::parse(specification).unwrap();
        let demos = |rows: &Matrix| {
            Tensor::from_slice(&rows.entries()[..N * D], (1, 1, N, D), &places::device()).unwrap()
        };
        let entries = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let factor = modification.query_side_factor() * power(modification.shrinkage(), N);
        let weights = self.weights();
        let mut sum = vec![0.0; D];
        for head in self.heads() {
            let scores = Matrix::from_fn(N, N, |i, j| score(&head, i, j));
            let scores =
                Tensor::from_slice(scores.entries(), (1, 1, N, N), &places::device()).unwrap();
            let keys = entries(&modification.keys(&weights, &demos(&head.keys)).unwrap());
            let values = modification.values(&weights, &demos(&head.values)).unwrap();
            let mut values = entries(&modification.mix(&scores, &values).unwrap());
            let later = |i: usize| power(modification.shrinkage(), N - 1 - i);
            for (i, value) in values.chunks_exact_mut(D).enumerate() {
                value.iter_mut().for_each(|v| *v *= later(i));
            }
            let pairs: Vec<KeyValue<'_>> = keys
                .chunks_exact(D)
                .zip(values.chunks_exact(D))
                .map(|(key, value)| KeyValue { key, value })
                .collect();
            let side_value: Vec<f64> = head.values.row(N).iter().map(|v| factor * v).collect();
            let side = [KeyValue { key: head.keys.row(N), value: &side_value }];
            let (loss, query) = (ModifiedLoss::PLAIN, head.queries.row(N));
            let out = predict_after_full_batch_step(&loss, &pairs, &side, query).unwrap();
            sum.iter_mut().zip(out).for_each(|(sum, x)| *sum += x);
        }
        sum
    }

    /// Keys, queries and values of every head; the last token is the query.
    fn heads(&self) -> Vec<Head> {
        let tokens = Matrix::new(N + 1, D, self.tokens.clone()).unwrap();
        let [w_q, w_k, w_v] = ["w_q", "w_k", "w_v"].map(|name| &self.variables[name].1);
        let matrices = HeadMatrices::of_heads(D, w_q, w_k, w_v).unwrap();
        matrices.iter().map(|matrices| Head::project(&tokens, matrices).unwrap()).collect()
    }

    /// `g(x)` from its definition.
    fn augment(&self, g: Augmentation, side: &str, x: &[f64]) -> Vec<f64> {
        let c = f64::from(g.scale);
        match g.form {
            Form::Identity => x.to_vec(),
            Form::Elementwise => x.iter().map(|x| x + c * math::tanh(*x)).collect(),
            Form::Mlp { hidden } => {
                let (v, u) = (
                    &self.variables[&format!("{side}.v")].1,
                    &self.variables[&format!("{side}.u")].1,
                );
                let inner: Vec<f64> =
                    v.chunks_exact(D).map(|row| gelu(order::dot(row, x))).collect();
                let rows = u.chunks_exact(hidden);
                x.iter().zip(rows).map(|(x, row)| x + c * order::dot(row, &inner)).collect()
            }
        }
    }

    /// The dual's prediction after one gradient step on the modified loss, heads summed; none for a modification
    /// that is not made of the three known terms.
    fn dual(&self, specification: &str) -> Option<Vec<f64>> {
        let parts = attention::parse(specification).unwrap().terms()?;
        let mut sum = vec![0.0; D];
        for head in self.heads() {
            let (pairs, side) = (head.key_values(0..N), head.key_values(N..N + 1));
            let sets = parts.negatives.map(|of| negatives(&head, of));
            let on_keys = |x: &[f64]| self.augment(parts.keys, "g_keys", x);
            let on_values = |x: &[f64]| self.augment(parts.values, "g_values", x);
            let beta = parts.negatives.map_or(0.0, |of| f64::from(of.beta));
            let loss = ModifiedLoss {
                alpha: f64::from(parts.alpha),
                keys: Some(&on_keys),
                values: Some(&on_values),
                negatives: sets.as_ref().map(|sets| (beta, sets.as_slice())),
            };
            let query = head.queries.row(N);
            let out = match parts.steps {
                Steps::Batch => predict_after_full_batch_step(&loss, &pairs, &side, query),
                Steps::Samples => predict_after_sample_steps(&loss, &pairs, &side, query),
            };
            sum.iter_mut().zip(out.unwrap()).for_each(|(sum, x)| *sum += x);
        }
        Some(sum)
    }
}

/// `x^n`, product by product.
fn power(x: f64, n: usize) -> f64 {
    (0..n).map(|_| x).product()
}

fn gelu(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    x * (1.0 + math::tanh(inner)) / 2.0
}

/// The score of demonstration `i` as a query towards demonstration `j`.
fn score(head: &Head, i: usize, j: usize) -> f64 {
    order::dot(head.queries.row(i), head.keys.row(j))
}

/// The other demonstrations that a rule names, by exhaustive ranking.
fn negatives(head: &Head, Negatives { m, rule, .. }: Negatives) -> Vec<Vec<usize>> {
    let of = |i: usize, j: usize| match rule {
        Rule::Lowest => score(head, i, j),
        Rule::Highest => -score(head, i, j),
        Rule::Next | Rule::All => ((j + N - i) % N) as f64,
    };
    let m = if rule == Rule::All { N - 1 } else { m };
    let lower = |i: usize, j: usize| move |k: &usize| *k != i && of(i, *k) < of(i, j);
    let rank = |i: usize, j: usize| (0..N).filter(lower(i, j)).count();
    (0..N).map(|i| (0..N).filter(|j| *j != i && rank(i, *j) < m).collect()).collect()
}

#[test]
fn every_modification_equals_its_dual() {
    // elementary functions of both sides are correct to a few ulp; logits are of order ten
    let tolerance = Tolerance::stated(1e-12, "rounding over seven demonstrations and two heads");
    for entry in attention::ALL {
        for options in entry.examples.iter().chain([&entry.neutral]) {
            let specification = format!("{}:{options}", entry.id);
            for seed in 0..40 {
                let fixture = Fixture::new(&specification, seed);
                let dual = fixture.dual(&specification);
                let both =
                    || (fixture.attention(&specification), fixture.plain_dual(&specification));
                for (place, (want, plain)) in everywhere(both) {
                    let name = format!("{specification} seed {seed} {place}");
                    tolerance.assert_all_close(&plain, &want, &name);
                    if let Some(got) = &dual {
                        tolerance.assert_all_close(got, &want, &name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_dual_of_other_strength_does_not_pass() {
    let fixture = Fixture::new("regularised:alpha=0.5", 1);
    let (got, want) =
        (fixture.dual("regularised:alpha=0.51"), fixture.attention("regularised:alpha=0.5"));
    let got = got.unwrap();
    assert!(got.iter().zip(&want).any(|(a, b)| (a - b).abs() > 1e-6));
}
