//! Pre-training: word pieces from their surroundings, as an objective of the one trainer.
//!
//! ```text
//! t = norm(f(W_T x_p + b_T)),   scores = E t + b          at every chosen place p; E: the embedding's table
//! loss = mean over all chosen places of the batch of -ln softmax(scores)[word at p]
//! ```
//!
//! The table `E` has a gradient from both of its uses. Source as of [`Masking`].

use super::dropout::Dropout;
use super::embedding::Tables;
use super::example::Target;
use super::fused::{FusedMaskedWords, Ragged};
use super::input::{Batch, Sequence};
use super::masking::{Masked, Masking};
use super::model::Bert;
use super::objective::Walk;
use super::{order, parts};
use crate::ModelError;
use crate::attention::Parameters;
use crate::objective::{LossAndGradient, Losses, Objective, Set};
use icl_numerics::lanes::Isa;
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use icl_numerics::{math, order as sums};

/// The sequences of a run.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// From which gradients are taken.
    pub training: Vec<Sequence>,
    /// On which losses are watched, always with the same masks.
    pub validation: Vec<Sequence>,
}

/// A BERT with the head of masked words, on sequences. It runs by the hand-written pass alone.
#[derive(Debug)]
pub struct MaskedWords {
    bert: Bert,
    fused: FusedMaskedWords,
    tables: Tables,
    text: Text,
    masking: Masking,
    walk: Walk,
    /// Masks of training examples, counted over all steps, and of validation.
    streams: [Stream; 2],
    batches: Vec<Vec<usize>>,
    isa: Isa,
    threads: Threads,
}

impl MaskedWords {
    /// The objective of `bert`, its parameters laid out like `layout`, on `text`.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a size of the walk is 0, a share is out of range, a sequence has no ordinary word
    /// piece, a variable is missing, or the modification exists as candle operations only.
    pub fn new(
        bert: Bert,
        layout: &Parameters,
        text: Text,
        (masking, walk): (Masking, Walk),
        (isa, threads): (Isa, Threads),
    ) -> Result<Self, ModelError> {
        walk.check(text.training.len())?;
        masking.check(bert.config.vocab_size)?;
        let ordinary =
            |sequence: &&Sequence| sequence.ids.iter().any(|id| masking.ordinary.contains(id));
        if let Some(found) = text.training.iter().chain(&text.validation).find(|s| !ordinary(s)) {
            let found = format!("{:?}", found.ids);
            return Err(ModelError::setting("sequence", found, "an ordinary word piece in each"));
        }
        let fused = FusedMaskedWords::new(&bert, layout, isa).ok_or_else(|| {
            let expected = "a modification that the hand-written pass knows";
            ModelError::setting("modification", format!("{:?}", bert.modification), expected)
        })?;
        let tables = Tables::new(layout, bert.config.hidden_size)?;
        let lengths: Vec<usize> = text.training.iter().map(|s| s.ids.len()).collect();
        let batches = (0..walk.epochs)
            .flat_map(|epoch| order::batches(&lengths, walk.batch, walk.seed, epoch as u64))
            .collect();
        let streams = ["training", "validation"]
            .map(|set| Stream::new(walk.seed, &format!("bert/masked-words/{set}")));
        Ok(Self { bert, fused, tables, text, masking, walk, streams, batches, isa, threads })
    }

    /// Steps of the whole walk.
    pub fn steps(&self) -> usize {
        self.batches.len()
    }

    /// The masked sequences of a step.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the walk has no such step.
    pub fn masked(&self, step: usize) -> Result<Vec<Masked>, ModelError> {
        let batch = self.batches.get(step).ok_or_else(|| {
            ModelError::setting("step", step, format!("less than {}", self.batches.len()))
        })?;
        let first = (step * self.walk.batch) as u64;
        let masked = |(i, sequence): (usize, &usize)| {
            let draws = self.streams[0].sample(first + i as u64);
            self.masking.apply(&self.text.training[*sequence], draws)
        };
        Ok(batch.iter().enumerate().map(masked).collect())
    }

    /// Losses at every place of some sequences, and their gradients by the scores over `n`.
    fn losses_of(&self, scores: &[f32], part: &[Masked], n: usize) -> (Vec<f64>, Vec<f32>) {
        let vocab_size = self.bert.config.vocab_size;
        let words = part.iter().flat_map(|masked| &masked.words);
        let (mut losses, mut slopes) = (Vec::new(), Vec::with_capacity(scores.len()));
        for (row, word) in scores.chunks_exact(vocab_size).zip(words) {
            let (loss, slope) = Target::Class(vocab_size).loss(row, f64::from(*word));
            losses.push(loss);
            slopes.extend(slope.into_iter().map(|slope| (slope / n as f64) as f32));
        }
        (losses, slopes)
    }

    /// Sum of the losses at all places of a part over `n`, and its gradient; `first` counts examples over all steps.
    fn part_gradient(
        &self,
        parameters: &[f32],
        part: &[Masked],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        let (hidden, attention) = (self.walk.hidden_dropout, self.walk.attention_dropout);
        let dropout = Dropout { seed: self.walk.seed, first, hidden, attention, isa: self.isa };
        let batch = self.batch(part)?;
        let (lengths, places) = (batch.lengths(), places(part));
        let ragged = Ragged { lengths: &lengths, dropout: Some(&dropout) };
        let run = self.fused.encoder.run(parameters);
        let embedded = self.tables.embed_real(parameters, &batch);
        let pass = self.fused.forward(&run, &embedded, ragged, &places);
        let (losses, slopes) = self.losses_of(pass.scores(), part, n);
        let mut gradient = vec![0.0; parameters.len()];
        let of_tokens = self.fused.backward(&run, pass, &slopes, (ragged, &places), &mut gradient);
        // added to what the table has as the map to scores
        self.tables.add_gradient_of_real(&batch, &of_tokens, &mut gradient);
        Ok(LossAndGradient { loss: sums::sum(&losses) / n as f64, gradient })
    }

    fn batch(&self, part: &[Masked]) -> Result<Batch, ModelError> {
        let sequences: Vec<&Sequence> = part.iter().map(|masked| &masked.sequence).collect();
        Batch::new(&self.bert.config, &sequences)
    }

    /// Mean loss of every sequence.
    fn means(&self, parameters: &[f32], part: &[Masked]) -> Result<Vec<f64>, ModelError> {
        let batch = self.batch(part)?;
        let lengths = batch.lengths();
        let ragged = Ragged { lengths: &lengths, dropout: None };
        let run = self.fused.encoder.run(parameters);
        let embedded = self.tables.embed_real(parameters, &batch);
        let pass = self.fused.forward(&run, &embedded, ragged, &places(part));
        let losses = self.losses_of(pass.scores(), part, 1).0;
        let mut rest = &losses[..];
        let mean = |masked: &Masked| {
            let (own, after) = rest.split_at(masked.places.len());
            rest = after;
            sums::sum(own) / own.len() as f64
        };
        Ok(part.iter().map(mean).collect())
    }
}

/// The chosen places of sequences one after another.
fn places(part: &[Masked]) -> Vec<usize> {
    let mut start = 0;
    let own = |masked: &Masked| {
        let first = start;
        start += masked.sequence.ids.len();
        masked.places.iter().map(|place| first + place).collect::<Vec<_>>()
    };
    part.iter().flat_map(own).collect()
}

impl Objective for MaskedWords {
    /// The scale beside the losses makes the normalised loss 1 for the uniform prediction.
    fn losses(&self, parameters: &[f32], set: Set, n: usize) -> Result<Losses, ModelError> {
        let (stream, sequences) = match set {
            Set::Training => (&self.streams[0], &self.text.training[..]),
            Set::Validation => (&self.streams[1], &self.text.validation[..]),
            Set::Test => (&self.streams[1], &[][..]),
        };
        let sequences = &sequences[..n.min(sequences.len())];
        let masked = |(i, sequence)| self.masking.apply(sequence, stream.sample(i as u64));
        let masked: Vec<Masked> = sequences.iter().enumerate().map(masked).collect();
        let parts: Vec<&[Masked]> = masked.chunks(self.walk.part).collect();
        let part = |(): &mut (), p: usize| self.means(parameters, parts[p]);
        let mut values = Vec::with_capacity(masked.len());
        for part in self.threads.map(parts.len(), || (), part) {
            values.extend(part?);
        }
        let uniform = math::ln(self.bert.config.vocab_size as f64);
        Ok(Losses { square_targets: vec![2.0 * uniform * values.len() as f64], values })
    }

    fn loss_and_gradient(
        &self,
        parameters: &[f32],
        first: u64,
        n: usize,
    ) -> Result<LossAndGradient, ModelError> {
        if n != self.walk.batch {
            return Err(ModelError::setting("batch", n, self.walk.batch.to_string()));
        }
        let masked = self.masked((first / n as u64) as usize)?;
        let n_places = masked.iter().map(|masked| masked.places.len()).sum();
        let parts: Vec<&[Masked]> = masked.chunks(self.walk.part).collect();
        parts::summed(
            &self.threads,
            parts.len(),
            |p| {
                let before = (p * self.walk.part) as u64;
                self.part_gradient(parameters, parts[p], first + before, n_places)
            },
            drop,
        )
    }

    fn block(&self) -> usize {
        usize::MAX
    }
}
