//! A BERT with a head, on sequences: logits by the parameters of a run.

use super::embedding::Tables;
use super::example::{Example, Target};
use super::fused::{FusedClassifier, Ragged};
use super::input::{Batch, Sequence};
use super::model::{Bert, Embedded, Last, mean_of_real};
use crate::ModelError;
use crate::attention::{Parameters, Weights};
use crate::device::Device as On;
use crate::machine::Machine;
use candle_core::{DType, Device, Tensor, Var};
use icl_numerics::lanes::Isa;
use std::ops::Range;

/// Sequences that one part of an evaluation holds in memory.
const PART: usize = 32;

/// What is asked of a model.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// Outputs of the head.
    Logits,
    /// Means of the last hidden states.
    Means,
}

/// A BERT with a pooler and a map to logits.
#[derive(Debug, Clone)]
pub struct Classifier {
    pub(super) bert: Bert,
    pub(super) target: Target,
    pub(super) layout: Parameters,
    pub(super) tables: Tables,
    /// The fast path, where there is one.
    pub(super) fused: Option<FusedClassifier>,
    pub(super) machine: Machine,
    /// Where candle's operations run, and in what numbers.
    pub(super) device: Device,
    pub(super) precision: DType,
}

impl Classifier {
    /// A classifier with parameters laid out like `layout`. On a GPU candle's operations compute it, and its numbers are
    /// of the class `cuda`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the embedding's tables are not among them, [`ModelError::Device`] without such a device.
    pub fn new(
        bert: Bert,
        target: Target,
        layout: Parameters,
        machine: &Machine,
    ) -> Result<Self, ModelError> {
        let tables = Tables::new(&layout, bert.config.hidden_size)?;
        let fused = match machine.device {
            On::Cpu(isa) => FusedClassifier::new(&bert, &layout, isa),
            On::Cuda(..) => None,
        };
        let (device, precision) = (machine.device.candle()?, DType::F32);
        let machine = machine.clone();
        Ok(Self { bert, target, layout, tables, fused, machine, device, precision })
    }

    /// The same by candle's operations and gradients alone.
    #[must_use]
    pub fn by_operations(self) -> Self {
        Self { fused: None, ..self }
    }

    /// The same by operations on numbers of this precision; parameters, losses and their sums stay in single precision.
    #[must_use]
    pub fn in_precision(self, precision: DType) -> Self {
        Self { precision, ..self.by_operations() }
    }

    /// Where it is computed.
    pub fn device(&self) -> On {
        self.machine.device
    }

    /// The processor's instruction set.
    pub(super) fn isa(&self) -> Isa {
        self.machine.isa()
    }

    /// What is predicted.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Logits of the examples, `[n, n_logits]`.
    ///
    /// # Errors
    /// If an example does not fit the model or candle refuses an operation.
    pub fn logits(
        &self,
        parameters: &[f32],
        examples: &[Example],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.asked(Asked::Logits, parameters, examples)
    }

    /// Means of the last hidden states over every sequence's tokens, `[n, d]`: sentence vectors.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn means(
        &self,
        parameters: &[f32],
        examples: &[Example],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        self.asked(Asked::Means, parameters, examples)
    }

    fn asked(
        &self,
        asked: Asked,
        parameters: &[f32],
        examples: &[Example],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let Some(fused) = &self.fused else {
            return self.asked_of_operations(asked, parameters, examples);
        };
        self.by_parts(examples, |batch| {
            let lengths = batch.lengths();
            let ragged = Ragged { lengths: &lengths, dropout: None };
            let embedded = self.tables.embed_real(parameters, batch);
            let run = fused.encoder.run(parameters);
            Ok(match asked {
                Asked::Logits => {
                    let pass = fused.forward(&run, &embedded, ragged);
                    rows(pass.logits(), self.target.n_logits())
                }
                Asked::Means => means_of(&fused.encoder.encode(&run, &embedded, ragged), &lengths),
            })
        })
    }

    fn asked_of_operations(
        &self,
        asked: Asked,
        parameters: &[f32],
        examples: &[Example],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let weights = self.weights_of(&self.variables(parameters)?);
        let n_logits = self.target.n_logits();
        self.by_parts(examples, |batch| {
            let embedded = self.embed(parameters, batch)?;
            let encode = |last| self.bert.encode(&weights, &embedded, last, None);
            let found = match asked {
                Asked::Logits => {
                    let states = encode(Last::First)?;
                    self.bert.logits(&weights, last(&states)?, n_logits, None)?
                }
                Asked::Means => mean_of_real(last(&encode(Last::All)?)?, &batch.real)?,
            };
            Ok(found.to_dtype(DType::F32)?.to_vec2()?)
        })
    }

    /// Rows `[n, ..]` of `f` for batches of examples of similar length, in the order of the examples.
    fn by_parts(
        &self,
        examples: &[Example],
        f: impl Fn(&Batch) -> Result<Vec<Vec<f32>>, ModelError> + Sync,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|i| examples[*i].sequence.ids.len());
        // the longest first, whose memory serves the others
        let parts: Vec<&[usize]> = order.chunks(PART).rev().collect();
        let part = |(): &mut (), p: usize| f(&self.batch(parts[p].iter().map(|i| &examples[*i]))?);
        let mut rows = vec![Vec::new(); examples.len()];
        for (part, found) in parts.iter().zip(self.machine.threads.map(parts.len(), || (), part)) {
            part.iter().zip(found?).for_each(|(i, row)| rows[*i] = row);
        }
        Ok(rows)
    }

    pub(super) fn batch<'a>(
        &self,
        part: impl Iterator<Item = &'a Example>,
    ) -> Result<Batch, ModelError> {
        let sequences: Vec<&Sequence> = part.map(|example| &example.sequence).collect();
        Batch::new(&self.bert.config, &sequences)
    }

    /// All variables but the embedding's tables, each on its own.
    pub(super) fn variables(&self, parameters: &[f32]) -> Result<Vec<Variable>, ModelError> {
        let own = self.layout.ranges().into_iter().filter(|(spec, _)| !Tables::holds(&spec.name));
        own.map(|(spec, range)| {
            let tensor = Tensor::from_slice(&parameters[range.clone()], spec.shape, &self.device)?;
            let var = Var::from_tensor(&tensor.to_dtype(self.precision)?)?;
            Ok(Variable { name: spec.name, range, var })
        })
        .collect()
    }

    /// The tensors of these variables.
    pub(super) fn weights_of(&self, variables: &[Variable]) -> Weights {
        let tensors = variables.iter().map(|v| (v.name.clone(), v.var.as_tensor().clone()));
        Weights::new(tensors, self.precision, &self.device, self.isa())
    }

    /// Embedded tokens of a batch.
    pub(super) fn embed(&self, parameters: &[f32], batch: &Batch) -> Result<Embedded, ModelError> {
        self.tables.embed(parameters, batch, self.precision, &self.device)
    }
}

/// Rows of `n` numbers.
fn rows(entries: &[f32], n: usize) -> Vec<Vec<f32>> {
    entries.chunks_exact(n).map(<[f32]>::to_vec).collect()
}

/// Means over the rows of every sequence, in double precision.
fn means_of(states: &[f32], lengths: &[usize]) -> Vec<Vec<f32>> {
    let d = states.len() / lengths.iter().sum::<usize>();
    let mut rest = states;
    let mean = |length: &usize| {
        let (own, after) = rest.split_at(length * d);
        rest = after;
        let mut sums = vec![0.0_f64; d];
        for row in own.chunks_exact(d) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        sums.into_iter().map(|sum| (sum / *length as f64) as f32).collect()
    };
    lengths.iter().map(mean).collect()
}

/// A variable of a step.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    pub(super) var: Var,
}

pub(super) fn last(states: &[Tensor]) -> Result<&Tensor, ModelError> {
    states.last().ok_or_else(|| ModelError::setting("num_hidden_layers", 0, "at least 1"))
}
