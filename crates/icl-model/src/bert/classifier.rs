//! A BERT with a head, on sequences: logits by the parameters of a run.

use super::embedding::Tables;
use super::input::{Batch, Sequence};
use super::model::{Bert, Embedded, Last, mean_of_real};
use super::objective::{Example, Target};
use crate::ModelError;
use crate::attention::{Parameters, Weights};
use candle_core::{DType, Device, Tensor, Var};
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use std::ops::Range;

/// Sequences that one part of an evaluation holds in memory.
const PART: usize = 32;

/// A BERT with a pooler and a map to logits.
#[derive(Debug, Clone)]
pub struct Classifier {
    pub(super) bert: Bert,
    pub(super) target: Target,
    pub(super) layout: Parameters,
    pub(super) tables: Tables,
    pub(super) isa: Isa,
    pub(super) threads: Threads,
}

impl Classifier {
    /// A classifier with parameters laid out like `layout`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the embedding's tables are not among them.
    pub fn new(
        bert: Bert,
        target: Target,
        layout: Parameters,
        (isa, threads): (Isa, Threads),
    ) -> Result<Self, ModelError> {
        let tables = Tables::new(&layout, bert.config.hidden_size)?;
        Ok(Self { bert, target, layout, tables, isa, threads })
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
        self.by_parts(parameters, examples, |weights, embedded, _| {
            let states = self.bert.encode(weights, embedded, Last::First, None)?;
            self.bert.logits(weights, last(&states)?, self.target.n_logits(), None)
        })
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
        self.by_parts(parameters, examples, |weights, embedded, batch| {
            let states = self.bert.encode(weights, embedded, Last::All, None)?;
            mean_of_real(last(&states)?, &batch.real)
        })
    }

    /// Rows `[n, ..]` of `f` for batches of examples of similar length, in the order of the examples.
    fn by_parts(
        &self,
        parameters: &[f32],
        examples: &[Example],
        f: impl Fn(&Weights, &Embedded, &Batch) -> Result<Tensor, ModelError> + Sync,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let weights = weights_of(&self.variables(parameters)?, self.isa);
        let mut order: Vec<usize> = (0..examples.len()).collect();
        order.sort_by_key(|i| examples[*i].sequence.ids.len());
        let parts: Vec<&[usize]> = order.chunks(PART).collect();
        let part = |(): &mut (), p: usize| -> Result<Vec<Vec<f32>>, ModelError> {
            let batch = self.batch(parts[p].iter().map(|i| &examples[*i]))?;
            let embedded = self.tables.embed(parameters, &batch, DType::F32, &Device::Cpu)?;
            Ok(f(&weights, &embedded, &batch)?.to_vec2()?)
        };
        let mut rows = vec![Vec::new(); examples.len()];
        for (part, found) in parts.iter().zip(self.threads.map(parts.len(), || (), part)) {
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
            let tensor = Tensor::from_slice(&parameters[range.clone()], spec.shape, &Device::Cpu)?;
            Ok(Variable { name: spec.name, range, var: Var::from_tensor(&tensor)? })
        })
        .collect()
    }
}

/// A variable of a step.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) range: Range<usize>,
    pub(super) var: Var,
}

pub(super) fn weights_of(variables: &[Variable], isa: Isa) -> Weights {
    let tensors = variables.iter().map(|v| (v.name.clone(), v.var.as_tensor().clone()));
    Weights::new(tensors, DType::F32, &Device::Cpu, isa)
}

pub(super) fn last(states: &[Tensor]) -> Result<&Tensor, ModelError> {
    states.last().ok_or_else(|| ModelError::setting("num_hidden_layers", 0, "at least 1"))
}
