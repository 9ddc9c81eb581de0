//! Duals of whole Transformer layers and stacks.
//!
//! ```text
//! a = [x +] sum_heads h'         z = [a +] W_2 relu(W_1 a + b_1) + b_2         out = z or LayerNorm(z)
//! ```
//!
//! with the residual paths in brackets. Given the query's activation pattern
//! `S = diag(1[W_1 a + b_1 > 0])`, `z` is linear in the attention's values: with `M = [I +] W_2 S W_1` it
//! is `f(q) + b`, where `f` is the dual trained on the values `M v_i`, and
//! `b = [M x] + W_2 S b_1 + b_2` does not depend on the demonstrations. LayerNorm acts after the
//! prediction. The pattern comes from the plain dual's own prediction of `h'`. A stack composes: layer
//! `l` has its own duals, trained on the tokens that layer `l - 1` predicted. Theory: `docs/theory.md`, section 7.

use crate::dual::{ExactDual, KeyValue, Normaliser, predict_after_training};
use crate::head::{Head, HeadMatrices};
use crate::sequence::Visibility;
use crate::{DualError, Matrix, Real};

/// Weights of one layer.
#[derive(Debug, Clone)]
pub struct LayerWeights<R = f64> {
    /// Heads; their outputs are summed.
    pub heads: Vec<HeadMatrices<R>>,
    /// `W_1`, `[d_ff, d]`.
    pub w_1: Matrix<R>,
    /// `b_1`, `[d_ff]`.
    pub b_1: Vec<R>,
    /// `W_2`, `[d, d_ff]`.
    pub w_2: Matrix<R>,
    /// `b_2`, `[d]`.
    pub b_2: Vec<R>,
    /// Residual paths around attention and feed-forward.
    pub residual: bool,
    /// `epsilon` of a LayerNorm after the layer.
    pub layer_norm: Option<R>,
}

/// A query and what it sees.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Index of the query's token.
    query: usize,
    /// Tokens that it sees: the first so many.
    seen: usize,
    /// Demonstrations: the first so many tokens.
    n_demos: usize,
}

impl<R: Real> LayerWeights<R> {
    fn project(&self, tokens: &Matrix<R>) -> Result<Vec<Head<R>>, DualError> {
        self.heads.iter().map(|matrices| Head::project(tokens, matrices)).collect()
    }

    /// Predictions of the layer's duals for every token, `[tokens, d]`; the first `n_demos` tokens are
    /// the demonstrations.
    ///
    /// # Errors
    /// [`DualError`] if sizes differ or a query sees nothing.
    pub fn predict(
        &self,
        tokens: &Matrix<R>,
        n_demos: usize,
        visibility: Visibility,
    ) -> Result<Matrix<R>, DualError> {
        let heads = self.project(tokens)?;
        let mut rows = Vec::with_capacity(tokens.entries().len());
        for i in 0..tokens.rows() {
            let seen = visibility.end(i, tokens.rows());
            if seen == 0 {
                return Err(DualError::NothingVisible { query: i });
            }
            let view = View { query: i, seen, n_demos };
            let attention = trained(&heads, view, |v| Ok(v.to_vec()))?;
            let map = self.linear_map(tokens.row(i), &attention)?;
            let f = trained(&heads, view, |v| map.apply(v))?;
            let mut z = add(&f, &map.constant);
            if let Some(epsilon) = self.layer_norm {
                normalise(&mut z, epsilon);
            }
            rows.extend(z);
        }
        Matrix::new(tokens.rows(), tokens.columns(), rows)
    }

    /// The layer's dual along its training, for one query: `f_i(q) + b` before any step and after each
    /// demonstration of `order`, without LayerNorm.
    ///
    /// # Errors
    /// [`DualError`] if sizes differ or the query sees nothing.
    pub fn predict_along_steps(
        &self,
        tokens: &Matrix<R>,
        n_demos: usize,
        query: usize,
        order: &[usize],
    ) -> Result<Vec<Vec<R>>, DualError> {
        let heads = self.project(tokens)?;
        let seen = tokens.rows();
        let attention = trained(&heads, View { query, seen, n_demos }, |v| Ok(v.to_vec()))?;
        let map = self.linear_map(tokens.row(query), &attention)?;
        let mut steps: Vec<Vec<R>> = vec![map.constant.clone(); order.len() + 1];
        for head in &heads {
            let values: Vec<Vec<R>> =
                head.values.iter_rows().map(|v| map.apply(v)).collect::<Result<_, _>>()?;
            let pair = |j: usize| KeyValue { key: head.keys.row(j), value: &values[j] };
            let side: Vec<KeyValue<'_, R>> = (n_demos..seen).map(pair).collect();
            let x = head.queries.row(query);
            let normaliser = Normaliser::new((0..seen).map(|j| head.keys.row(j)), x)
                .ok_or(DualError::NothingVisible { query })?;
            let mut dual = ExactDual::initial(&side, normaliser, tokens.columns())?;
            for (i, sum) in steps.iter_mut().enumerate() {
                if i > 0 {
                    dual.step(pair(order[i - 1]))?;
                }
                *sum = add(sum, &dual.predict(x)?);
            }
        }
        Ok(steps)
    }

    /// The map of the attention's values given the query's activation pattern.
    fn linear_map(&self, x: &[R], attention: &[R]) -> Result<LinearMap<'_, R>, DualError> {
        let a = if self.residual { add(x, attention) } else { attention.to_vec() };
        let active: Vec<bool> =
            add(&self.w_1.apply(&a)?, &self.b_1).into_iter().map(|p| p > R::ZERO).collect();
        let constant = add(&self.w_2.apply(&masked(&self.b_1, &active))?, &self.b_2);
        let mut map = LinearMap { layer: self, active, constant };
        if self.residual {
            map.constant = add(&map.constant, &map.apply(x)?);
        }
        Ok(map)
    }
}

/// `v -> M v` for one query, and the constant `b`.
struct LinearMap<'a, R> {
    layer: &'a LayerWeights<R>,
    active: Vec<bool>,
    constant: Vec<R>,
}

impl<R: Real> LinearMap<'_, R> {
    /// `M v = [v +] W_2 S W_1 v`.
    fn apply(&self, v: &[R]) -> Result<Vec<R>, DualError> {
        let out = self.layer.w_2.apply(&masked(&self.layer.w_1.apply(v)?, &self.active))?;
        Ok(if self.layer.residual { add(v, &out) } else { out })
    }
}

/// The sum over heads of the duals trained on transformed values of the visible tokens.
fn trained<R: Real>(
    heads: &[Head<R>],
    View { query, seen, n_demos }: View,
    transform: impl Fn(&[R]) -> Result<Vec<R>, DualError>,
) -> Result<Vec<R>, DualError> {
    let mut sum: Option<Vec<R>> = None;
    for head in heads {
        let values: Vec<Vec<R>> =
            (0..seen).map(|j| transform(head.values.row(j))).collect::<Result<_, _>>()?;
        let pairs: Vec<KeyValue<'_, R>> = values
            .iter()
            .enumerate()
            .map(|(j, value)| KeyValue { key: head.keys.row(j), value })
            .collect();
        let (demonstrations, side) = pairs.split_at(n_demos.min(seen));
        let order = 0..demonstrations.len();
        let out = predict_after_training(demonstrations, side, head.queries.row(query), order)?;
        sum = Some(match sum {
            Some(sum) => add(&sum, &out),
            None => out,
        });
    }
    sum.ok_or(DualError::NothingVisible { query })
}

fn add<R: Real>(x: &[R], y: &[R]) -> Vec<R> {
    x.iter().zip(y).map(|(x, y)| *x + *y).collect()
}

fn masked<R: Real>(x: &[R], active: &[bool]) -> Vec<R> {
    x.iter().zip(active).map(|(x, on)| if *on { *x } else { R::ZERO }).collect()
}

/// LayerNorm without gain and bias.
fn normalise<R: Real>(x: &mut [R], epsilon: R) {
    let n = R::from_f64(x.len() as f64);
    let ones = vec![R::ONE; x.len()];
    let mean = R::dot(x, &ones) / n;
    x.iter_mut().for_each(|x| *x = *x - mean);
    let variance = R::dot(x, x) / n;
    let scale = R::ONE / (variance + epsilon).sqrt();
    x.iter_mut().for_each(|x| *x = *x * scale);
}

/// Composed duals of a stack: the tokens after every layer, the input not included.
///
/// # Errors
/// [`DualError`] if sizes differ or a query sees nothing.
pub fn predict_stack<R: Real>(
    layers: &[LayerWeights<R>],
    tokens: &Matrix<R>,
    n_demos: usize,
    visibility: Visibility,
) -> Result<Vec<Matrix<R>>, DualError> {
    let mut outputs: Vec<Matrix<R>> = Vec::with_capacity(layers.len());
    for layer in layers {
        let next = layer.predict(outputs.last().unwrap_or(tokens), n_demos, visibility)?;
        outputs.push(next);
    }
    Ok(outputs)
}
