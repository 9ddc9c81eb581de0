//! What is minimised: a mean loss over examples, by packed parameters.

use crate::ModelError;
use icl_numerics::order;

/// Which examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Fresh examples, from which gradients are taken.
    Training,
    /// A fixed set, on which losses are watched during training.
    Validation,
    /// A larger set that no other decision uses, for comparisons after training.
    Test,
}

/// A loss over sets of examples, each example by its index.
///
/// Everything that trains takes `&dyn Objective`; which model, which device and how many threads is the
/// implementation's, and changes no bit on a CPU.
pub trait Objective: Send + Sync {
    /// Losses of the examples `0 .. n` of a set under `parameters`.
    ///
    /// # Errors
    /// [`ModelError`] if an operation fails.
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError>;

    /// Mean loss of the training examples `first .. first + n`, and its gradient.
    ///
    /// # Errors
    /// [`ModelError`] if an operation fails.
    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError>;

    /// Takes a gradient back that nobody needs any longer: its memory can serve the next one.
    fn take_back(&self, gradient: Vec<f32>) {
        drop(gradient);
    }

    /// Losses are summed in blocks of so many, then the blocks: the order of a sum is part of its bits.
    fn block(&self) -> usize;
}

/// Losses of examples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Losses {
    /// One for every example.
    pub values: Vec<f64>,
    /// Sums of `|s|^2` over successive parts of the examples.
    pub square_targets: Vec<f64>,
}

/// Loss and gradient of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LossAndGradient {
    /// Mean over the examples.
    pub loss: f64,
    /// Its gradient, packed like the parameters.
    pub gradient: Vec<f32>,
}

/// Mean loss over a set, and the scale to compare it with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean of `1/2 |prediction - s|^2`.
    pub loss: f64,
    /// Mean of `|s|^2`.
    pub mean_square_target: f64,
}

impl Evaluation {
    /// Normalised mean squared error, `2 loss / E |s|^2`: 1 for the prediction zero.
    pub fn nmse(&self) -> f64 {
        2.0 * self.loss / self.mean_square_target
    }

    /// From the losses of a set, summed in blocks.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if there is no example.
    pub fn new(losses: &Losses, block: usize) -> Result<Self, ModelError> {
        let n = losses.values.len();
        if n == 0 {
            return Err(ModelError::setting("examples", n, "at least one to evaluate on"));
        }
        let blocks: Vec<f64> = losses.values.chunks(block.max(1)).map(order::sum).collect();
        Ok(Self {
            loss: order::sum(&blocks) / n as f64,
            mean_square_target: order::sum(&losses.square_targets) / n as f64,
        })
    }
}

/// Loss on the validation set after a number of steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Steps taken.
    pub step: usize,
    /// Mean loss.
    pub loss: f64,
    /// Normalised mean squared error.
    pub nmse: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prediction_zero_has_nmse_one() {
        let targets = [0.5, -2.0, 1.0, 3.0, 0.25];
        let losses = Losses {
            values: targets.iter().map(|s| s * s / 2.0).collect(),
            square_targets: vec![0.25 + 4.0, 1.0 + 9.0 + 0.0625],
        };
        for block in [1, 2, 5, usize::MAX] {
            let evaluation = Evaluation::new(&losses, block).unwrap();
            assert_eq!(evaluation.nmse(), 1.0);
            assert_eq!(evaluation.mean_square_target, 14.3125 / 5.0);
        }
        assert!(Evaluation::new(&Losses::default(), 8).is_err());
    }
}
