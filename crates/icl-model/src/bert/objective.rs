//! Fine-tuning: sequences with a class or a score, as an objective of the one trainer.

use super::classifier::{Classifier, Variable, last};
use super::dropout::Dropout;
use super::example::{Example, Target};
use super::fused::{FusedClassifier, Ragged};
use super::model::Last;
use super::order;
use super::parts;
use crate::ModelError;
use crate::objective::{LossAndGradient, Losses, Objective, Set};
use candle_core::{DType, Tensor, Var};
use icl_numerics::{math, order as sums};
use std::sync::{Mutex, PoisonError};

/// The examples of a run.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// From which gradients are taken.
    pub training: Vec<Example>,
    /// On which losses are watched.
    pub validation: Vec<Example>,
    /// For comparisons after training.
    pub test: Vec<Example>,
}

/// How the training set is walked through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Walk {
    /// Seed of order and dropout.
    pub seed: u64,
    /// Times through the training set.
    pub epochs: usize,
    /// Examples of a step.
    pub batch: usize,
    /// Examples whose activations are held at a time; a batch's gradient is the sum over such parts in their order.
    pub part: usize,
    /// Share of dropped entries of hidden states.
    pub hidden_dropout: f64,
    /// Share of dropped attention weights.
    pub attention_dropout: f64,
}

impl Walk {
    /// Steps of the whole walk.
    pub fn steps(&self, n_training: usize) -> usize {
        self.epochs * n_training.div_ceil(self.batch.max(1))
    }

    pub(super) fn check(&self, n_training: usize) -> Result<(), ModelError> {
        for (field, found) in [("batch", self.batch), ("part", self.part), ("epochs", self.epochs)]
        {
            if found == 0 {
                return Err(ModelError::setting(field, found, "at least 1"));
            }
        }
        if n_training == 0 {
            return Err(ModelError::setting("examples", n_training, "at least one to train on"));
        }
        Ok(())
    }
}

/// A classifier on labelled sequences.
#[derive(Debug)]
pub struct FineTuning {
    classifier: Classifier,
    examples: Examples,
    walk: Walk,
    /// The examples of every step.
    batches: Vec<Vec<usize>>,
    /// Memory of gradients that are no longer needed.
    spare: Mutex<Vec<Vec<f32>>>,
}

impl FineTuning {
    /// The objective of `classifier` on `examples`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a size of the walk is 0 or there is nothing to train on.
    pub fn new(classifier: Classifier, examples: Examples, walk: Walk) -> Result<Self, ModelError> {
        walk.check(examples.training.len())?;
        let lengths = examples.training.iter().map(|e| e.sequence.ids.len()).collect::<Vec<_>>();
        let batches = (0..walk.epochs)
            .flat_map(|epoch| order::batches(&lengths, walk.batch, walk.seed, epoch as u64))
            .collect();
        Ok(Self { classifier, examples, walk, batches, spare: Mutex::default() })
    }

    /// The classifier that is trained.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// Steps of the whole walk.
    pub fn steps(&self) -> usize {
        self.batches.len()
    }

    /// A gradient of zeros.
    fn zeros(&self, n: usize) -> Vec<f32> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut gradient = spare.unwrap_or_default();
        gradient.fill(0.0);
        gradient.resize(n, 0.0);
        gradient
    }

    /// Sum of the losses of some examples over `n`, and its gradient; `first` counts examples over all steps.
    fn part_gradient(
        &self,
        parameters: &[f32],
        part: &[usize],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let (hidden, attention) = (self.walk.hidden_dropout, self.walk.attention_dropout);
        let isa = self.classifier.isa();
        let dropout = Dropout { seed: self.walk.seed, first, hidden, attention, isa };
        let examples: Vec<&Example> = part.iter().map(|i| &self.examples.training[*i]).collect();
        match &self.classifier.fused {
            Some(fused) => self.by_fused(fused, parameters, &examples, &dropout, n),
            None => self.by_operations(parameters, &examples, &dropout, n),
        }
    }

    fn by_fused(
        &self,
        fused: &FusedClassifier,
        parameters: &[f32],
        examples: &[&Example],
        dropout: &Dropout,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let tables = &self.classifier.tables;
        let batch = self.classifier.batch(examples.iter().copied())?;
        let lengths = batch.lengths();
        let ragged = Ragged { lengths: &lengths, dropout: Some(dropout) };
        let run = fused.encoder.run(parameters);
        let pass = fused.forward(&run, &tables.embed_real(parameters, &batch), ragged);
        let (loss, slopes) = self.loss_of(pass.logits(), examples, n);
        let mut gradient = self.zeros(parameters.len());
        let of_tokens = fused.backward(&run, pass, &slopes, ragged, &mut gradient);
        tables.add_gradient_of_real(&batch, &of_tokens, &mut gradient);
        Ok(LossAndGradient { loss, gradient })
    }

    fn by_operations(
        &self,
        parameters: &[f32],
        examples: &[&Example],
        dropout: &Dropout,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let Classifier { bert, target, tables, device, precision, .. } = &self.classifier;
        let batch = self.classifier.batch(examples.iter().copied())?;
        let variables = self.classifier.variables(parameters)?;
        let weights = self.classifier.weights_of(&variables);
        let mut embedded = self.classifier.embed(parameters, &batch)?;
        let tokens = Var::from_tensor(&embedded.tokens)?;
        embedded.tokens = tokens.as_tensor().clone();
        let states = bert.encode(&weights, &embedded, Last::First, Some(dropout))?;
        let logits = bert.logits(&weights, last(&states)?, target.n_logits(), Some(dropout))?;
        let (loss, slopes) = self.loss_of(&single(&logits)?, examples, n);
        // the linear function of the logits that has the loss's gradient there
        let slopes = Tensor::from_vec(slopes, logits.shape(), device)?.to_dtype(*precision)?;
        let gradients = (logits * slopes)?.sum_all()?.backward()?;
        let mut gradient = self.zeros(parameters.len());
        for Variable { range, var, .. } in &variables {
            let own = gradients.get(var.as_tensor()).ok_or(ModelError::NoGradient)?;
            gradient[range.clone()].copy_from_slice(&single(own)?);
        }
        let of_tokens = gradients.get(tokens.as_tensor()).ok_or(ModelError::NoGradient)?;
        tables.add_gradient(&batch, &single(of_tokens)?, &mut gradient);
        Ok(LossAndGradient { loss, gradient })
    }

    /// Sum of the losses over `n`, and its gradient by the logits.
    fn loss_of(&self, logits: &[f32], examples: &[&Example], n: usize) -> (f64, Vec<f32>) {
        let target = self.classifier.target;
        let (mut losses, mut slopes) = (Vec::new(), Vec::new());
        for (row, example) in logits.chunks_exact(target.n_logits()).zip(examples) {
            let (loss, slope) = target.loss(row, example.label);
            losses.push(loss);
            slopes.extend(slope.into_iter().map(|slope| (slope / n as f64) as f32));
        }
        (sums::sum(&losses) / n as f64, slopes)
    }
}

/// All numbers of a tensor in single precision.
fn single(x: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(x.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

impl Objective for FineTuning {
    /// The scale beside the losses makes the normalised loss 1 for the uniform prediction of a class, and for the
    /// mean as prediction of a score.
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError> {
        let examples = match set {
            Set::Training => &self.examples.training,
            Set::Validation => &self.examples.validation,
            Set::Test => &self.examples.test,
        };
        let examples = &examples[..n.min(examples.len())];
        let (target, logits) =
            (self.classifier.target, self.classifier.logits(parameters, examples)?);
        let loss = |(row, example): (&Vec<f32>, &Example)| target.loss(row, example.label).0;
        let values: Vec<f64> = logits.iter().zip(examples).map(loss).collect();
        let scale = match target {
            Target::Class(classes) => values.len() as f64 * math::ln(classes as f64),
            Target::Score => {
                let labels: Vec<f64> = examples.iter().map(|example| example.label).collect();
                let mean = sums::mean(&labels).unwrap_or(0.0);
                let gaps: Vec<f64> = labels.iter().map(|label| label - mean).collect();
                sums::sum_of_squares(&gaps)
            }
        };
        Ok(Losses { values, square_targets: vec![2.0 * scale] })
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let step = (first / n.max(1) as u64) as usize;
        let (Some(batch), true) = (self.batches.get(step), n == self.walk.batch) else {
            let found = format!("step {step} of batches of {n}");
            let expected =
                format!("{} steps of batches of {}", self.batches.len(), self.walk.batch);
            return Err(ModelError::setting("batch", found, expected));
        };
        let parts: Vec<&[usize]> = batch.chunks(self.walk.part).collect();
        let part = |p: usize| {
            let before = (p * self.walk.part) as u64;
            self.part_gradient(parameters, parts[p], first + before, batch.len())
        };
        let take_back = |gradient| self.take_back(gradient);
        parts::summed(&self.classifier.machine.threads, parts.len(), part, take_back)
    }

    fn take_back(&self, gradient: Vec<f32>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(gradient);
    }

    fn block(&self) -> usize {
        usize::MAX
    }
}
