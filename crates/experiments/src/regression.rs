//! Linear regression in context, in `f64`: problems, and predictors that learn nothing beforehand.
//!
//! `y = w . x` with `w ~ N(0, I_d)`; the error of a predictor is `E (prediction - y_q)^2 / E y_q^2`. Nothing
//! here is shared with the trained layers: data, algebra and predictors are their own, so that agreement
//! between the two says something.

use icl_numerics::cholesky::solve;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};

/// Distribution of the entries of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Entries {
    /// `U(-1/2, 1/2)`.
    Uniform,
    /// `N(0, 1)`.
    Normal,
}

impl Entries {
    /// `E x^2` and `E x^4`.
    pub(crate) fn moments(self) -> [f64; 2] {
        match self {
            Self::Uniform => [1.0 / 12.0, 1.0 / 80.0],
            Self::Normal => [1.0, 3.0],
        }
    }
}

/// Demonstrations `(x_i, y_i)` and a query `(x, y)`.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) x: Vec<Vec<f64>>,
    pub(crate) y: Vec<f64>,
    pub(crate) query: Vec<f64>,
    pub(crate) target: f64,
    /// Standard normal numbers that have to do with nothing, one for every demonstration.
    pub(crate) noise: Vec<f64>,
}

impl Problem {
    /// Problem `p` of a stream: `w`, the query, the demonstrations, the noise; fewer demonstrations are a
    /// prefix of more.
    pub(crate) fn new(stream: &Stream, p: u64, n: usize, d: usize, entries: Entries) -> Self {
        let mut draws = stream.sample(p);
        let w: Vec<f64> = (0..d).map(|_| draws.normal()).collect();
        let mut input = || -> Vec<f64> {
            let mut entry = || match entries {
                Entries::Uniform => draws.uniform() - 0.5,
                Entries::Normal => draws.normal(),
            };
            (0..d).map(|_| entry()).collect()
        };
        let query = input();
        let x: Vec<Vec<f64>> = (0..n).map(|_| input()).collect();
        let y = x.iter().map(|x| order::dot(&w, x)).collect();
        let noise = (0..n).map(|_| draws.normal()).collect();
        Self { target: order::dot(&w, &query), x, y, query, noise }
    }
}

/// A predictor with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Predictor {
    /// Always zero.
    Zero,
    /// `(1/N) sum_i y_i x_i . x`.
    Averaging,
    /// `steps` gradient steps of size `eta` from zero; between steps the inputs shrink along their own
    /// second moments by `gamma` (GD++; 0 for GD).
    Descent { steps: usize, eta: f64, gamma: f64 },
    /// Mean of the `k` nearest.
    Nearest { k: usize },
    /// Mean weighted by `exp(-|x_i - x|^2 / 2 h^2)`.
    NadarayaWatson { bandwidth: f64 },
    /// Kernel ridge regression with the same kernel.
    KernelRidge { bandwidth: f64, lambda: f64 },
    /// `argmin |X w - y|^2 + lambda |w|^2`.
    Ridge { lambda: f64 },
    /// The shortest `w` among the least-squares solutions.
    LeastSquares,
}

impl Predictor {
    /// Prediction for the query.
    pub(crate) fn predict(self, problem: &Problem) -> f64 {
        let Problem { x, y, query, .. } = problem;
        match self {
            Self::Zero => 0.0,
            Self::Averaging => order::dot(&moment(x, y), query),
            Self::Descent { steps, eta, gamma } => descent(problem, steps, eta, gamma),
            Self::Nearest { k } => nearest(problem, k),
            Self::NadarayaWatson { bandwidth } => {
                let weights = similarities(x, query, bandwidth);
                order::dot(&weights, y) / largest::at_least(order::sum(&weights), f64::MIN_POSITIVE)
            }
            Self::KernelRidge { bandwidth, lambda } => {
                let row = |x_i: &Vec<f64>| similarities(x, x_i, bandwidth);
                let coefficients = solve(x.iter().map(row).collect(), lambda, y);
                order::dot(&coefficients, &similarities(x, query, bandwidth))
            }
            Self::Ridge { lambda } => {
                // the dual form: w = X^T (X X^T + lambda)^{-1} y
                let row = |x_i: &Vec<f64>| x.iter().map(|x_j| order::dot(x_i, x_j)).collect();
                let coefficients = solve(x.iter().map(row).collect(), lambda, y);
                let products: Vec<f64> = x.iter().map(|x| order::dot(x, query)).collect();
                order::dot(&coefficients, &products)
            }
            Self::LeastSquares => order::dot(&least_squares(x, y), query),
        }
    }

    /// Squared error of the prediction.
    pub(crate) fn squared_error(self, problem: &Problem) -> f64 {
        let error = self.predict(problem) - problem.target;
        error * error
    }
}

/// `(1/N) sum_i y_i x_i`.
fn moment(x: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mut sum = vec![0.0; x.first().map_or(0, Vec::len)];
    for (x, y) in x.iter().zip(y) {
        sum.iter_mut().zip(x).for_each(|(s, x)| *s += y * x / n);
    }
    sum
}

/// `(1/N) sum_i x_i x_i^T` by rows.
fn second_moment(x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |r: usize| moment(x, &x.iter().map(|x| x[r]).collect::<Vec<_>>());
    (0..x.first().map_or(0, Vec::len)).map(row).collect()
}

/// Every step moves the labels, as layers of linear attention do: `y_j -= eta b . x_j` with
/// `b = (1/N) sum_i y_i x_i`, for the query from zero with the opposite sign.
fn descent(problem: &Problem, steps: usize, eta: f64, gamma: f64) -> f64 {
    let (mut x, mut y, mut query) = (problem.x.clone(), problem.y.clone(), problem.query.clone());
    let mut prediction = 0.0;
    for _ in 0..steps {
        let b = moment(&x, &y);
        y.iter_mut().zip(&x).for_each(|(y, x)| *y -= eta * order::dot(&b, x));
        prediction += eta * order::dot(&b, &query);
        if gamma != 0.0 {
            let second = second_moment(&x);
            for point in x.iter_mut().chain(std::iter::once(&mut query)) {
                let along: Vec<f64> = second.iter().map(|row| order::dot(row, point)).collect();
                point.iter_mut().zip(along).for_each(|(p, a)| *p -= gamma * a);
            }
        }
    }
    prediction
}

fn similarities(x: &[Vec<f64>], to: &[f64], bandwidth: f64) -> Vec<f64> {
    let factor = -0.5 / (bandwidth * bandwidth);
    x.iter().map(|x| math::exp(factor * order::squared_distance(x, to))).collect()
}

fn nearest(problem: &Problem, k: usize) -> f64 {
    let distance = |x: &Vec<f64>| order::squared_distance(x, &problem.query);
    let mut all: Vec<(f64, f64)> =
        problem.x.iter().map(distance).zip(problem.y.iter().copied()).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let labels: Vec<f64> = all.into_iter().take(k).map(|(_, y)| y).collect();
    order::mean(&labels).unwrap_or(0.0)
}

/// The shortest least-squares solution, by an orthonormal basis of the inputs' span (Gram-Schmidt, twice).
///
/// With `x_i = sum_j L_ij e_j`, the coordinates `c` of `w` solve `L c = y`; further inputs than the basis
/// holds carry no new information, since labels have no noise.
fn least_squares(x: &[Vec<f64>], y: &[f64]) -> Vec<f64> {
    let d = x.first().map_or(0, Vec::len);
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut w = vec![0.0; d];
    // inputs that add most come first: pivoting keeps the basis well conditioned
    let mut left: Vec<(Vec<f64>, f64)> = x.iter().cloned().zip(y.iter().copied()).collect();
    while basis.len() < d && !left.is_empty() {
        let residual = |x: &[f64], basis: &[Vec<f64>]| {
            let mut r = x.to_vec();
            for _ in 0..2 {
                for e in basis {
                    let along = order::dot(e, &r);
                    r.iter_mut().zip(e).for_each(|(r, e)| *r -= along * e);
                }
            }
            r
        };
        let residuals: Vec<Vec<f64>> = left.iter().map(|(x, _)| residual(x, &basis)).collect();
        let norms: Vec<f64> = residuals.iter().map(|r| order::sum_of_squares(r)).collect();
        let best = (0..left.len()).fold(0, |b, i| if norms[i] > norms[b] { i } else { b });
        let norm = norms[best].sqrt();
        let (point, label) = left.swap_remove(best);
        if norm <= 1e-14 * order::sum_of_squares(&point).sqrt() {
            break;
        }
        let unit: Vec<f64> = residuals[best].iter().map(|r| r / norm).collect();
        let coordinate = (label - order::dot(&w, &point)) / order::dot(&unit, &point);
        w.iter_mut().zip(&unit).for_each(|(w, e)| *w += coordinate * e);
        basis.push(unit);
    }
    w
}

/// Closed form of one gradient step from zero over `n` demonstrations.
///
/// ```text
/// loss(eta) = 1 - 2 eta m2 + eta^2 [ (m4 + (d-1) m2^2) / n + (n-1)/n m2^2 ]
/// ```
///
/// with the entries' moments `m2`, `m4`; relative to `E y^2`.
pub(crate) fn one_step_loss(entries: Entries, n: usize, d: usize, eta: f64) -> f64 {
    1.0 - 2.0 * eta * entries.moments()[0] + eta * eta * curvature(entries, n, d)
}

/// The step that minimises [`one_step_loss`]; for normal inputs `n / (n + d + 1)`.
pub(crate) fn best_step(entries: Entries, n: usize, d: usize) -> f64 {
    entries.moments()[0] / curvature(entries, n, d)
}

fn curvature(entries: Entries, n: usize, d: usize) -> f64 {
    let ([m2, m4], n, d) = (entries.moments(), n as f64, d as f64);
    (m4 + (d - 1.0) * m2 * m2) / n + (n - 1.0) / n * m2 * m2
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    fn problem(n: usize) -> Problem {
        Problem::new(&Stream::new(1, "regression/test"), 0, n, 3, Entries::Normal)
    }

    #[test]
    fn enough_demonstrations_determine_the_answer() {
        for n in [3, 5, 9] {
            let p = problem(n);
            let error = (Predictor::LeastSquares.predict(&p) - p.target).abs();
            assert!(error < 1e-12 * p.target.abs().max(1.0), "{n}: {error}");
            let error = (Predictor::Ridge { lambda: 1e-9 }.predict(&p) - p.target).abs();
            assert!(error < 1e-5, "{n}: {error}");
        }
    }

    #[test]
    fn one_step_is_averaging_times_eta_and_many_steps_reach_least_squares() {
        let p = problem(9);
        let one = Predictor::Descent { steps: 1, eta: 0.3, gamma: 0.0 }.predict(&p);
        let t = Tolerance::roundoff_f64(50);
        t.assert_close(one, 0.3 * Predictor::Averaging.predict(&p), 1.0, "one step");
        let many = Predictor::Descent { steps: 3000, eta: 0.3, gamma: 0.0 }.predict(&p);
        assert!((many - p.target).abs() < 1e-9);
    }

    /// By definition: labels move by the step along the moved inputs, inputs by their own second moments.
    #[test]
    fn shrinking_inputs_moves_every_point_along_all_products_with_the_old_ones() {
        let (p, eta, gamma) = (problem(5), 0.3, 0.1);
        let shrunk = |point: &Vec<f64>| -> Vec<f64> {
            let products: Vec<f64> = p.x.iter().map(|x| order::dot(x, point)).collect();
            let along = moment(&p.x, &products);
            point.iter().zip(along).map(|(p, a)| p - gamma * a).collect()
        };
        let b = moment(&p.x, &p.y);
        let y = p.x.iter().zip(&p.y).map(|(x, y)| y - eta * order::dot(&b, x)).collect();
        let x = p.x.iter().map(shrunk).collect();
        let second = Problem { x, y, query: shrunk(&p.query), ..p.clone() };
        let step = Predictor::Descent { steps: 1, eta, gamma: 0.0 };
        let want = step.predict(&p) + step.predict(&second);
        let got = Predictor::Descent { steps: 2, eta, gamma }.predict(&p);
        Tolerance::roundoff_f64(100).assert_close(got, want, 1.0, "two steps");
    }

    #[test]
    fn a_wide_kernel_averages_labels_and_a_narrow_one_takes_the_nearest() {
        let p = problem(9);
        let wide = Predictor::NadarayaWatson { bandwidth: 1e6 }.predict(&p);
        assert!((wide - order::mean(&p.y).unwrap()).abs() < 1e-9);
        let narrow = Predictor::NadarayaWatson { bandwidth: 0.05 }.predict(&p);
        assert!((narrow - Predictor::Nearest { k: 1 }.predict(&p)).abs() < 1e-6);
    }

    /// Tabulated: d = 10, N = 10, U(-1/2, 1/2): step 6.0606, loss .49495; averaging .8471.
    #[test]
    fn the_closed_form_has_the_tabulated_values() {
        let eta = best_step(Entries::Uniform, 10, 10);
        assert!((eta - 6.0606).abs() < 1e-4);
        assert!((one_step_loss(Entries::Uniform, 10, 10, eta) - 0.49495).abs() < 1e-5);
        assert!((one_step_loss(Entries::Uniform, 10, 10, 1.0) - 0.8471).abs() < 1e-4);
        assert!((best_step(Entries::Normal, 20, 5) - 20.0 / 26.0).abs() < 1e-12);
    }
}
