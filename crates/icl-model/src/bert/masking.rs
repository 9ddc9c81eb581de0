//! Which word pieces of a sequence are to be told from the others, and what stands in their places.

use super::input::Sequence;
use crate::ModelError;
use icl_numerics::stream::Draws;

/// How word pieces are masked.
///
/// Of a sequence's ordinary word pieces a share is chosen, at least one. A chosen one is replaced by the mask, by any
/// ordinary word piece, or kept, so that a state cannot rely on the mask to know that it is asked.
///
/// Source: J. Devlin, M. Chang, K. Lee, K. Toutanova, "BERT: pre-training of deep bidirectional Transformers for language
/// understanding" (2019), section 3.1.
#[derive(Debug, Clone, PartialEq)]
pub struct Masking {
    /// Share of the ordinary word pieces that is chosen.
    pub share: f64,
    /// Share of the chosen that the mask replaces.
    pub masked: f64,
    /// Share of the chosen that an ordinary word piece replaces, uniformly.
    pub random: f64,
    /// The mask.
    pub mask: u32,
    /// Word pieces that may be chosen and may replace others.
    pub ordinary: Vec<u32>,
}

impl Masking {
    /// The shares of the source: 15 % are chosen; of these 80 % masked, 10 % replaced, 10 % kept.
    pub fn new(mask: u32, ordinary: Vec<u32>) -> Self {
        Self { share: 0.15, masked: 0.8, random: 0.1, mask, ordinary }
    }

    /// A sequence with its chosen places; the draws are a function of the sequence's length alone.
    pub fn apply(&self, sequence: &Sequence, mut draws: Draws<'_>) -> Masked {
        let candidates: Vec<usize> =
            (0..sequence.ids.len()).filter(|i| self.ordinary.contains(&sequence.ids[*i])).collect();
        let n = (self.share * candidates.len() as f64).round() as usize;
        let order = draws.permutation(candidates.len());
        let mut places: Vec<usize> = order.iter().take(n.max(1)).map(|i| candidates[*i]).collect();
        places.sort_unstable();
        let mut masked = sequence.clone();
        let replace = |place: &usize| {
            let (fate, other) = (draws.uniform(), draws.below(self.ordinary.len().max(1) as u64));
            let word = sequence.ids[*place];
            masked.ids[*place] = if fate < self.masked {
                self.mask
            } else if fate < self.masked + self.random {
                self.ordinary[other as usize]
            } else {
                word
            };
            word
        };
        let words = places.iter().map(replace).collect();
        Masked { sequence: masked, places, words }
    }

    pub(super) fn check(&self, vocab_size: usize) -> Result<(), ModelError> {
        for (field, found, most) in [
            ("share", self.share, 1.0),
            ("masked", self.masked, 1.0),
            ("random", self.random, 1.0 - self.masked),
        ] {
            if !(0.0..=most).contains(&found) {
                return Err(ModelError::setting(field, found, format!("0 to {most}")));
            }
        }
        let largest = self.ordinary.iter().max().copied();
        match largest {
            Some(id) if (id as usize) < vocab_size && (self.mask as usize) < vocab_size => Ok(()),
            found => {
                let found = format!("{found:?}, mask {}", self.mask);
                Err(ModelError::setting("word pieces", found, format!("less than {vocab_size}")))
            }
        }
    }
}

/// A masked sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// What the encoder sees.
    pub sequence: Sequence,
    /// The chosen places, ascending.
    pub places: Vec<usize>,
    /// The word pieces that stood there.
    pub words: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::stream::Stream;

    #[test]
    fn shares_are_kept_and_special_word_pieces_are_left_alone() {
        let masking = Masking::new(4, (5..105).collect());
        let ids: Vec<u32> = std::iter::once(2).chain((0..40).map(|i| 5 + i)).chain([3]).collect();
        let sequence = Sequence { segments: vec![0; ids.len()], ids };
        let stream = Stream::new(1, "masking");
        let (mut masks, mut kept, n) = (0.0, 0.0, 2000.0);
        for i in 0..2000 {
            let masked = masking.apply(&sequence, stream.sample(i));
            assert_eq!(masked.places.len(), 6);
            for (place, word) in masked.places.iter().zip(&masked.words) {
                assert_eq!(sequence.ids[*place], *word);
                masks += f64::from(u8::from(masked.sequence.ids[*place] == 4));
                kept += f64::from(u8::from(masked.sequence.ids[*place] == *word));
            }
            assert_eq!([masked.sequence.ids[0], masked.sequence.ids[41]], [2, 3]);
            let changed = (0..42).filter(|i| masked.sequence.ids[*i] != sequence.ids[*i]);
            assert!(changed.into_iter().all(|i| masked.places.contains(&i)));
            assert_eq!(masked, masking.apply(&sequence, stream.sample(i)));
        }
        // six standard errors; a random word is the old one in one of a hundred
        let near = |share: f64, want: f64| {
            let error = (want * (1.0 - want) / (6.0 * n)).sqrt();
            assert!((share - want).abs() < 6.0 * error, "{share} {want}");
        };
        near(masks / (6.0 * n), 0.8);
        near(kept / (6.0 * n), 0.101);
        let short = Sequence { ids: vec![2, 9, 3], segments: vec![0; 3] };
        assert_eq!(masking.apply(&short, stream.sample(0)).places, [1]);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let good = Masking::new(4, vec![5, 6]);
        good.check(7).unwrap();
        let wrong = [
            Masking { share: f64::NAN, ..good.clone() },
            Masking { random: 0.3, ..good.clone() },
            Masking { ordinary: vec![], ..good.clone() },
            Masking { mask: 7, ..good.clone() },
        ];
        assert!(wrong.iter().all(|masking| masking.check(7).is_err()));
        assert!(good.check(6).is_err());
    }
}
