//! Sequences of word pieces, alone and padded to a batch.

use super::config::BertConfig;
use crate::ModelError;

/// One sequence of word pieces with its segments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    /// Word pieces.
    pub ids: Vec<u32>,
    /// Segment of each.
    pub segments: Vec<u32>,
}

/// Sequences side by side, padded to one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Sequences.
    pub n: usize,
    /// Tokens of the longest.
    pub n_tokens: usize,
    /// Word pieces, `[n, n_tokens]`.
    pub ids: Vec<u32>,
    /// Segments, `[n, n_tokens]`.
    pub segments: Vec<u32>,
    /// Whether a token is real, `[n, n_tokens]`.
    pub real: Vec<bool>,
}

impl Batch {
    /// The sequences in their order, padded on the right.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if there is none, one is empty or longer than the model's positions, or a word piece
    /// or segment is not in the model's tables.
    pub fn new(config: &BertConfig, sequences: &[&Sequence]) -> Result<Self, ModelError> {
        let n_tokens = sequences.iter().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
        let (n, size) = (sequences.len(), sequences.len() * n_tokens);
        let mut batch = Self {
            n,
            n_tokens,
            ids: vec![config.pad_token_id; size],
            segments: vec![0; size],
            real: vec![false; size],
        };
        for (i, sequence) in sequences.iter().enumerate() {
            let place = i * n_tokens..i * n_tokens + sequence.ids.len();
            batch.ids[place.clone()].copy_from_slice(&sequence.ids);
            batch.segments[place.clone()].copy_from_slice(&sequence.segments);
            batch.real[place].fill(true);
        }
        batch.check(config)?;
        Ok(batch)
    }

    /// Checks what [`Self::new`] promises, for a batch put together elsewhere.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check(&self, config: &BertConfig) -> Result<(), ModelError> {
        let (n_tokens, most) = (self.n_tokens, config.max_position_embeddings);
        if !(1..=most).contains(&n_tokens) || self.n == 0 {
            let found = format!("{} sequences of {n_tokens} tokens", self.n);
            return Err(ModelError::setting("batch", found, format!("1 to {most} tokens")));
        }
        let size = self.n * n_tokens;
        if [self.ids.len(), self.segments.len(), self.real.len()] != [size; 3] {
            let found = vec![self.ids.len(), self.segments.len(), self.real.len()];
            return Err(ModelError::Shape { op: "batch", found, expected: vec![size; 3] });
        }
        for (field, entries, rows) in [
            ("word pieces", &self.ids, config.vocab_size),
            ("segments", &self.segments, config.type_vocab_size),
        ] {
            if let Some(found) = entries.iter().find(|id| **id as usize >= rows) {
                return Err(ModelError::setting(field, found, format!("less than {rows}")));
            }
        }
        let empty = self.real.chunks_exact(n_tokens).position(|row| !row.contains(&true));
        match empty {
            Some(i) => {
                let found = format!("no token in sequence {i}");
                Err(ModelError::setting("batch", found, "at least one real token in each"))
            }
            None => Ok(()),
        }
    }

    /// Real tokens of every sequence.
    pub fn lengths(&self) -> Vec<usize> {
        let length = |row: &[bool]| row.iter().filter(|real| **real).count();
        self.real.chunks_exact(self.n_tokens).map(length).collect()
    }
}
