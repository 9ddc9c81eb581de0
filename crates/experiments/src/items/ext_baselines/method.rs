//! Predictors without training, with the candidates that are tuned.

use crate::named::named;
use crate::regression::{Entries, Predictor, best_step};

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

impl Method {
    /// The settings of a method among which the best is taken, for `n` demonstrations of size `d`.
    pub(super) fn candidates(self, n: usize, d: usize) -> Vec<Predictor> {
        let eta = best_step(Entries::Uniform, n, d);
        // the typical distance of two inputs
        let unit = (2.0 * d as f64 * Entries::Uniform.moments()[0]).sqrt();
        let product = |a: &[f64], b: &[f64], f: &dyn Fn(f64, f64) -> Predictor| -> Vec<Predictor> {
            a.iter().flat_map(|a| b.iter().map(|b| f(*a, *b))).collect()
        };
        match self {
            Self::Zero => vec![Predictor::Zero],
            Self::Averaging => vec![Predictor::Averaging],
            Self::OneStep => vec![Predictor::Descent { steps: 1, eta, gamma: 0.0 }],
            Self::FiveSteps => product(&[0.5, 0.75, 1.0, 1.5, 2.0, 3.0], &[0.0], &|a, gamma| {
                Predictor::Descent { steps: 5, eta: a * eta, gamma }
            }),
            Self::FiveStepsPlusPlus => {
                product(&[0.5, 0.75, 1.0, 1.5, 2.0], &[0.0, 0.1, 0.25, 0.5, 0.75], &|a, b| {
                    Predictor::Descent { steps: 5, eta: a * eta, gamma: b * eta }
                })
            }
            Self::Nearest => {
                [1, 2, 3, 5, 8, 13, 21].map(|k| Predictor::Nearest { k: k.min(n) }).to_vec()
            }
            Self::NadarayaWatson => [0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 2.0]
                .map(|h| Predictor::NadarayaWatson { bandwidth: h * unit })
                .to_vec(),
            Self::KernelRidge => {
                product(&[0.5, 1.0, 2.0, 4.0, 8.0], &[1e-6, 1e-3, 0.1], &|h, lambda| {
                    Predictor::KernelRidge { bandwidth: h * unit, lambda }
                })
            }
            Self::Ridge => {
                [1e-8, 1e-3, 0.01, 0.1, 1.0].map(|lambda| Predictor::Ridge { lambda }).to_vec()
            }
            Self::LeastSquares => vec![Predictor::LeastSquares],
        }
    }
}
