//! The bound on the dual's generalisation gap, at the norm of the weights that the dual has after its step.
//!
//! The layer reads `A = W_K^T W_Q / sqrt(d)` only, and keys `B W_K h` with queries `B^{-T} W_Q h` are the same layer for every
//! invertible `B`; norms of the dual's weights are not the same. Taken are the balanced factors of `A`, the pair of least
//! norm, whose keys have `k . k' = h^T (A A^T)^{1/2} h'`.

use super::Measured;
use super::measure::{Measure, Value};
use crate::views::heads;
use dual_model::Matrix;
use dual_model::gap::{Population, Solution};
use dual_model::head::HeadMatrices;
use icl_model::attention::Parameters;
use icl_model::settings::TrainSettings;
use icl_numerics::stream::{Draws, Stream};
use icl_numerics::{largest, math, order, symmetric};

/// One head on the linear task with one target.
struct Layer {
    /// Scores are `h^T A x_q`, `[d, d_t]`: the query's label is zero.
    scores: Matrix,
    /// Keys are `R h`, `R` the fourth root of `A A^T`, `[d, d]`.
    keys: Matrix,
    /// The label's row of `W_V`: the others reach no loss and stay as they were drawn.
    values: Vec<f64>,
}

/// Demonstrations `[t; w . t]` of one task.
struct Task<'a> {
    layer: &'a Layer,
    tokens: Matrix,
    population: Population,
}

/// Of a trained layer over demonstrations only: means over tasks and prompts.
pub(super) fn measure(
    train: &TrainSettings,
    parameters: &Parameters,
    measured: Measured,
) -> anyhow::Result<Vec<Value>> {
    let layer = Layer::new(parameters, train.prompt.d())?;
    let mut columns: [Vec<f64>; 4] = Default::default();
    for task in 0..measured.tasks {
        let stream = Stream::new(train.seed, &format!("icl-generalisation/task/{task}"));
        let task = Task::new(&layer, &stream, measured.population)?;
        for draw in 0..measured.draws {
            let index = 1 + measured.population + draw;
            let n = train.prompt.n_demos;
            let solution = task.solution(&mut stream.sample(index as u64), n)?;
            let bound = task.population.rademacher_bound(n, solution.norm);
            let row = [solution.norm, bound, solution.gap.abs(), solution.gap];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let measures = [Measure::Norm, Measure::Bound, Measure::Gap, Measure::Optimism];
    let mean = |(measure, column): (Measure, Vec<f64>)| Value {
        measure,
        at: 0,
        value: order::mean(&column).unwrap_or(f64::NAN),
    };
    Ok(measures.into_iter().zip(columns).map(mean).collect())
}

fn inputs(draws: &mut Draws<'_>, d_t: usize) -> Vec<f64> {
    (0..d_t).map(|_| 2.0 * draws.uniform() - 1.0).collect()
}

impl Layer {
    fn new(parameters: &Parameters, d: usize) -> anyhow::Result<Self> {
        let HeadMatrices { w_q, w_k, w_v } = heads::of_parameters(parameters, d)?.swap_remove(0);
        let score = |i: usize, j: usize| {
            let terms: Vec<f64> = (0..d).map(|a| w_k.row(a)[i] * w_q.row(a)[j]).collect();
            order::sum(&terms) / (d as f64).sqrt()
        };
        let scores = Matrix::from_fn(d, d - 1, score);
        let row = |i: usize| (0..d).map(|j| order::dot(scores.row(i), scores.row(j))).collect();
        let (squares, vectors) = symmetric::eigen(&(0..d).map(row).collect::<Vec<Vec<f64>>>());
        // rounding may leave an eigenvalue of a product with itself below zero
        let root = |x: &f64| largest::at_least(*x, 0.0).sqrt().sqrt();
        let roots: Vec<f64> = squares.iter().map(root).collect();
        let keys = symmetric::compose(&roots, &vectors);
        let keys = Matrix::from_rows(keys.iter().map(Vec::as_slice))?;
        Ok(Self { scores, keys, values: w_v.row(d - 1).to_vec() })
    }
}

impl<'a> Task<'a> {
    /// `w` is sample 0 of the stream, demonstration `i` sample `1 + i`.
    fn new(layer: &'a Layer, stream: &Stream, population: usize) -> anyhow::Result<Self> {
        let d_t = layer.scores.columns();
        let mut draws = stream.sample(0);
        let w: Vec<f64> = (0..d_t).map(|_| draws.normal()).collect();
        let token = |i: usize| {
            let t = inputs(&mut stream.sample(1 + i as u64), d_t);
            let label = order::dot(&w, &t);
            [t, vec![label]].concat()
        };
        let tokens: Vec<Vec<f64>> = (0..population).map(token).collect();
        let tokens = Matrix::from_rows(tokens.iter().map(Vec::as_slice))?;
        let values = Matrix::new(1, d_t + 1, layer.values.clone())?.apply_to_rows(&tokens)?;
        let kernel = |x: &[f64], y: &[f64]| math::exp(order::dot(x, y));
        let population = Population::new(&layer.keys.apply_to_rows(&tokens)?, &values, kernel)?;
        Ok(Self { layer, tokens, population })
    }

    /// The dual's weights for one prompt: demonstrations drawn with replacement, and a query of the same task.
    fn solution(&self, draws: &mut Draws<'_>, n: usize) -> anyhow::Result<Solution> {
        let len = self.population.len() as u64;
        let sample: Vec<usize> = (0..n).map(|_| draws.below(len) as usize).collect();
        let query = self.layer.scores.apply(&inputs(draws, self.layer.scores.columns()))?;
        let weight = |i: &usize| math::exp(order::dot(self.tokens.row(*i), &query));
        let normaliser = order::sum(&sample.iter().map(weight).collect::<Vec<f64>>());
        Ok(self.population.solution(&sample, normaliser))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_model::attention::{self, LayerShape};

    /// Balanced keys and queries have the layer's own scores: `k . q` with `q = R^+ A x_q`.
    #[test]
    fn keys_are_balanced_factors_of_the_scores() {
        let d = 4;
        let plain = attention::parse("plain").unwrap();
        let shape = LayerShape { d, n_heads: 1 };
        let parameters = Parameters::initialised(shape, plain.as_ref(), 0.7, 5);
        let layer = Layer::new(&parameters, d).unwrap();
        // (R R)^2 = A A^T
        let product = |a: &Matrix, b: &Matrix| {
            Matrix::from_fn(d, d, |i, j| (0..d).map(|k| a.row(i)[k] * b.row(k)[j]).sum())
        };
        let square = product(&layer.keys, &layer.keys);
        let fourth = product(&square, &square);
        for i in 0..d {
            for j in 0..d {
                let want = order::dot(layer.scores.row(i), layer.scores.row(j));
                assert!((fourth.row(i)[j] - want).abs() < 1e-12);
            }
        }
        let read = |name: &str| -> Vec<f64> {
            parameters.get(name).unwrap().iter().map(|x| f64::from(*x)).collect()
        };
        let (w_q, w_k) = (read("w_q"), read("w_k"));
        let want: f64 = (0..d).map(|a| w_k[a * d + 3] * w_q[a * d]).sum::<f64>() / 2.0;
        assert!((layer.scores.row(3)[0] - want).abs() < 1e-12);
        assert_eq!(layer.values, read("w_v")[12..]);
    }
}
