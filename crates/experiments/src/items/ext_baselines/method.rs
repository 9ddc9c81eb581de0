//! Predictors without training, with the settings that are tuned.

use super::grid::Grid;
use crate::named::named;
use crate::regression::{Entries, Predictor, best_step};
use serde::{Deserialize, Serialize};

named! {
    /// A way to predict without training.
    pub(super) enum Method {
        /// Always zero.
        Zero = "zero",
        /// Labels weighted by products of inputs.
        Averaging = "averaging",
        /// Gradient descent, one step of the best size.
        OneStep = "GD, 1 step",
        /// Gradient descent, five steps.
        FiveSteps = "GD, 5 steps",
        /// Gradient descent that shrinks the inputs between its steps.
        FiveStepsPlusPlus = "GD++, 5 steps",
        /// Mean of the nearest labels.
        Nearest = "nearest neighbours",
        /// Mean of labels weighted by a kernel.
        NadarayaWatson = "Nadaraya-Watson",
        /// Ridge regression with a kernel.
        KernelRidge = "kernel ridge",
        /// Ridge regression.
        Ridge = "ridge",
        /// The shortest solution of least squares.
        LeastSquares = "least squares",
    }
}

/// Candidates of what is tuned. Steps and shrinkings in units of the best single step, bandwidths in units of the
/// root mean square distance of two inputs.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grids {
    pub(super) step: Grid,
    pub(super) shrinking: Grid,
    pub(super) smoother_bandwidth: Grid,
    pub(super) ridge_bandwidth: Grid,
    pub(super) ridge: Grid,
}

impl Grids {
    /// All with their names.
    pub(super) fn all(&self) -> [(&'static str, &Grid); 5] {
        [
            ("step", &self.step),
            ("shrinking", &self.shrinking),
            ("smoother_bandwidth", &self.smoother_bandwidth),
            ("ridge_bandwidth", &self.ridge_bandwidth),
            ("ridge", &self.ridge),
        ]
    }
}

/// A setting of a method that is tuned.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Candidates in rising order.
    pub(super) candidates: Vec<f64>,
    /// Whether nothing lies beyond the first and beyond the last candidate, or nothing else.
    pub(super) limits: [bool; 2],
}

impl Method {
    /// What is tuned for `n` demonstrations.
    pub(super) fn parameters(self, grids: &Grids, n: usize) -> Vec<Parameter> {
        let parameter = |name, grid: &Grid, limits| {
            let candidates = grid.values();
            Parameter { name, candidates, limits }
        };
        let step = || parameter("step", &grids.step, [false; 2]);
        // labels have no noise: below the least ridge is interpolation
        let ridge = || parameter("ridge", &grids.ridge, [true, false]);
        let bandwidth = |grid| parameter("bandwidth", grid, [false; 2]);
        match self {
            Self::Zero | Self::Averaging | Self::OneStep | Self::LeastSquares => Vec::new(),
            Self::FiveSteps => vec![step()],
            // no shrinking is plain gradient descent
            Self::FiveStepsPlusPlus => {
                vec![step(), parameter("shrinking", &grids.shrinking, [true, false])]
            }
            Self::Nearest => vec![Parameter {
                name: "neighbours",
                candidates: (1..=n).map(|k| k as f64).collect(),
                limits: [true; 2],
            }],
            Self::NadarayaWatson => vec![bandwidth(&grids.smoother_bandwidth)],
            Self::KernelRidge => vec![bandwidth(&grids.ridge_bandwidth), ridge()],
            Self::Ridge => vec![ridge()],
        }
    }

    /// The predictor at a value of every parameter, for `n` demonstrations of size `d`.
    pub(super) fn predictor(self, values: &[f64], n: usize, d: usize) -> Predictor {
        let eta = best_step(Entries::Uniform, n, d);
        let distance = (2.0 * d as f64 * Entries::Uniform.moments()[0]).sqrt();
        match (self, values) {
            (Self::Averaging, _) => Predictor::Averaging,
            (Self::OneStep, _) => Predictor::Descent { steps: 1, eta, gamma: 0.0 },
            (Self::FiveSteps, [a]) => Predictor::Descent { steps: 5, eta: a * eta, gamma: 0.0 },
            (Self::FiveStepsPlusPlus, [a, b]) => {
                Predictor::Descent { steps: 5, eta: a * eta, gamma: b * eta }
            }
            (Self::Nearest, [k]) => Predictor::Nearest { k: *k as usize },
            (Self::NadarayaWatson, [h]) => Predictor::NadarayaWatson { bandwidth: h * distance },
            (Self::KernelRidge, [h, lambda]) => {
                Predictor::KernelRidge { bandwidth: h * distance, lambda: *lambda }
            }
            (Self::Ridge, [lambda]) => Predictor::Ridge { lambda: *lambda },
            (Self::LeastSquares, _) => Predictor::LeastSquares,
            _ => Predictor::Zero,
        }
    }
}
