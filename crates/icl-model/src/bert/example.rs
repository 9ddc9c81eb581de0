//! Labelled sequences, and what a prediction costs.

use super::input::Sequence;
use icl_numerics::{math, order as sums};

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// One of so many classes; the loss is the cross-entropy.
    Class(usize),
    /// A number; the loss is the squared error.
    Score,
}

impl Target {
    /// Outputs of the model.
    pub fn n_logits(self) -> usize {
        match self {
            Self::Class(classes) => classes,
            Self::Score => 1,
        }
    }

    /// Loss of one example and its gradient by the logits, in double precision.
    pub fn loss(self, logits: &[f32], label: f64) -> (f64, Vec<f64>) {
        let logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
        match self {
            Self::Score => {
                let error = logits[0] - label;
                (error * error, vec![2.0 * error])
            }
            Self::Class(_) => {
                let top = logits.iter().fold(f64::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
                let entries: Vec<f64> = logits.iter().map(|x| math::exp(x - top)).collect();
                let sum = sums::sum(&entries);
                let loss = math::ln(sum) + top - logits[label as usize];
                let mut slope: Vec<f64> = entries.iter().map(|entry| entry / sum).collect();
                slope[label as usize] -= 1.0;
                (loss, slope)
            }
        }
    }
}

/// A sequence with its class (as a number) or score.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Word pieces and segments.
    pub sequence: Sequence,
    /// The class's index, or the score.
    pub label: f64,
}
