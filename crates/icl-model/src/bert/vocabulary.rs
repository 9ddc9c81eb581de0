//! Training on the word pieces that occur: the rows of the others have no gradient, and decay alone moves them.
//!
//! A vocabulary has some 30 000 word pieces, a data set a fifth to a half of them; of a small model the table is most
//! of the parameters. Over the occurring rows alone a step reads and writes so much less.

use super::classifier::Classifier;
use super::example::Example;
use super::variables::WORDS;
use crate::ModelError;
use crate::adam::AdamSettings;
use crate::attention::Parameters;
use candle_core::DType;

/// The word pieces that occur, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    ids: Vec<u32>,
}

impl Vocabulary {
    /// Those of examples, and the one that fills up.
    pub fn of<'a>(classifier: &Classifier, examples: impl Iterator<Item = &'a Example>) -> Self {
        let mut ids = vec![classifier.bert.config.pad_token_id];
        ids.extend(examples.flat_map(|example| &example.sequence.ids));
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }

    /// The examples with every word piece by its place here.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if one does not occur.
    pub fn renumbered(&self, mut examples: Vec<Example>) -> Result<Vec<Example>, ModelError> {
        for id in examples.iter_mut().flat_map(|example| &mut example.sequence.ids) {
            *id = self.place(*id)?;
        }
        Ok(examples)
    }

    fn place(&self, id: u32) -> Result<u32, ModelError> {
        let absent = |_| ModelError::setting("word pieces", id, "one that occurs");
        self.ids.binary_search(&id).map(|place| place as u32).map_err(absent)
    }

    /// The classifier of the occurring word pieces and its parameters, from those of all.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if a word piece is not in the table.
    pub fn narrowed(
        &self,
        classifier: &Classifier,
        parameters: &Parameters,
    ) -> Result<(Classifier, Parameters), ModelError> {
        let (d, rows) = (classifier.bert.config.hidden_size, classifier.bert.config.vocab_size);
        if let Some(found) = self.ids.iter().find(|id| **id as usize >= rows) {
            return Err(ModelError::setting("word pieces", found, format!("less than {rows}")));
        }
        let mut specs = parameters.variables().to_vec();
        for spec in specs.iter_mut().filter(|spec| spec.name == WORDS) {
            spec.shape = vec![self.ids.len(), d];
        }
        let mut values = Vec::new();
        for (spec, range) in parameters.ranges() {
            let own = &parameters.packed()[range];
            if spec.name == WORDS {
                let row = |id: &u32| &own[*id as usize * d..(*id as usize + 1) * d];
                values.extend(self.ids.iter().flat_map(row));
            } else {
                values.extend(own);
            }
        }
        let narrow = Parameters::from_values(specs, values)?;
        let mut bert = classifier.bert.clone();
        bert.config.vocab_size = self.ids.len();
        bert.config.pad_token_id = self.place(bert.config.pad_token_id)?;
        let own = Classifier::new(bert, classifier.target, narrow.clone(), &classifier.machine)?;
        let as_before = classifier.precision != DType::F32;
        Ok((if as_before { own.in_precision(classifier.precision) } else { own }, narrow))
    }

    /// Parameters for all word pieces, from those of the occurring ones after `steps` steps and those of all before
    /// them.
    pub fn widened(
        &self,
        narrow: &Parameters,
        mut before: Parameters,
        adam: &AdamSettings,
        steps: u64,
    ) -> Parameters {
        if let Some(words) = before.get_mut(WORDS) {
            adam.decay_alone(WORDS, words, steps);
        }
        for (spec, range) in narrow.ranges() {
            let (own, Some(all)) = (&narrow.packed()[range], before.get_mut(&spec.name)) else {
                continue;
            };
            if spec.name == WORDS {
                let d = own.len() / self.ids.len();
                for (id, row) in self.ids.iter().zip(own.chunks_exact(d)) {
                    all[*id as usize * d..][..d].copy_from_slice(row);
                }
            } else {
                all.copy_from_slice(own);
            }
        }
        before
    }
}
