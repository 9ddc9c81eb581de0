//! A linear model of standardised features: least squares or logistic, with a small ridge.

use icl_numerics::cholesky::solve;
use icl_numerics::{math, order};

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Squared errors.
    Squared,
    /// Cross-entropy of two classes.
    Logistic,
}

/// Ridge on the weights of standardised features, per example: too small to matter but where features repeat each other.
const RIDGE: f64 = 1e-4;
/// Steps of Newton's method for the logistic loss; each doubles the correct digits.
const STEPS: usize = 25;

/// A fitted model.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// Weights, then the intercept.
    weights: Vec<f64>,
}

impl Linear {
    pub(super) fn fit(loss: Loss, rows: &[Vec<f64>], labels: &[f64]) -> Self {
        let columns = rows.first().map_or(0, Vec::len);
        let column = |j: usize| rows.iter().map(|row| row[j]).collect::<Vec<f64>>();
        let means: Vec<f64> =
            (0..columns).map(|j| order::mean(&column(j)).unwrap_or(0.0)).collect();
        let deviation = |j| match order::variance(&column(j)).unwrap_or(0.0).sqrt() {
            // a constant feature says nothing
            0.0 => 1.0,
            deviation => deviation,
        };
        let deviations: Vec<f64> = (0..columns).map(deviation).collect();
        let mut model = Self { means, deviations, weights: vec![0.0; columns + 1] };
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        for _ in 0..if loss == Loss::Squared { 1 } else { STEPS } {
            model.step(loss, &rows, labels);
        }
        model
    }

    /// The standardised features and a 1.
    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        let scaled = row.iter().zip(&self.means).zip(&self.deviations);
        scaled.map(|((x, mean), deviation)| (x - mean) / deviation).chain([1.0]).collect()
    }

    /// One step of Newton's method, which is exact for squared errors.
    fn step(&mut self, loss: Loss, rows: &[Vec<f64>], labels: &[f64]) {
        let n = self.weights.len();
        let (mut hessian, mut slope) = (vec![vec![0.0; n]; n], vec![0.0; n]);
        for (row, label) in rows.iter().zip(labels) {
            let z = order::dot(row, &self.weights);
            let (error, curvature) = match loss {
                Loss::Squared => (z - label, 1.0),
                Loss::Logistic => {
                    let p = 1.0 / (1.0 + math::exp(-z));
                    (p - label, p * (1.0 - p))
                }
            };
            for (i, x) in row.iter().enumerate() {
                slope[i] += error * x;
                hessian[i].iter_mut().zip(row).for_each(|(h, y)| *h += curvature * x * y);
            }
        }
        // the intercept is free
        let ridge = RIDGE * rows.len() as f64;
        for i in 0..n - 1 {
            slope[i] += ridge * self.weights[i];
            hessian[i][i] += ridge;
        }
        let step = solve(hessian, 0.0, &slope);
        self.weights.iter_mut().zip(step).for_each(|(w, step)| *w -= step);
    }

    /// The score, or the logarithm of the odds of class 1.
    pub(super) fn predict(&self, row: &[f64]) -> f64 {
        order::dot(&self.standardised(row), &self.weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let rows: Vec<Vec<f64>> = (0..50).map(|i| vec![f64::from(i), f64::from(i % 7)]).collect();
        let labels: Vec<f64> = rows.iter().map(|x| 3.0 * x[0] - 2.0 * x[1] + 5.0).collect();
        let model = Linear::fit(Loss::Squared, &rows, &labels);
        // the ridge pulls by one part in ten thousand
        assert!((model.predict(&[10.0, 3.0]) - 29.0).abs() < 0.02);
    }

    #[test]
    fn the_slope_of_the_logistic_loss_is_zero_at_the_end() {
        let rows: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i), f64::from(i % 3)]).collect();
        let labels: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i + 9 * (i % 2) > 22))).collect();
        let model = Linear::fit(Loss::Logistic, &rows, &labels);
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        let p = |row: &Vec<f64>| 1.0 / (1.0 + math::exp(-order::dot(row, &model.weights)));
        for i in 0..3 {
            let slope: f64 = rows.iter().zip(&labels).map(|(x, y)| (p(x) - y) * x[i]).sum();
            let ridge = if i < 2 { RIDGE * 40.0 * model.weights[i] } else { 0.0 };
            assert!((slope + ridge).abs() < 1e-8, "{i}: {slope}");
        }
    }
}
