//! A BERT with its numbers.

use crate::error::{LensError, Result};
use icl_model::attention::{self, Parameters};
use icl_model::bert::embedding::Tables;
use icl_model::bert::{Bert, BertConfig, Head, Pretrained, variables};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A BERT with plain attention and its parameters, without a head.
#[derive(Debug, Clone)]
pub struct Encoder {
    pub(super) bert: Bert,
    pub(super) parameters: Parameters,
    pub(super) tables: Tables,
    files: Vec<PathBuf>,
}

impl Encoder {
    /// Reads a folder as Hugging Face lays it out: `config.json` and the weights.
    ///
    /// # Errors
    /// [`LensError::Model`] naming the file and the field or tensor, what was found and what was expected.
    pub fn open(folder: &Path) -> std::result::Result<Self, LensError> {
        let pretrained = Pretrained::open(folder)?;
        let plain = attention::parse("plain")?;
        let specs = variables::specs(&pretrained.config, Head::None, plain.as_ref());
        // nothing is drawn: an encoder has neither a pooler nor a classifier
        let loaded = pretrained.parameters(specs, 0)?;
        let encoder = Self::new(pretrained.config, loaded.parameters)?;
        Ok(Self { files: pretrained.files, ..encoder })
    }

    /// An encoder with the parameters that [`variables::specs`] lists, packed in its order.
    ///
    /// # Errors
    /// [`LensError::Model`] if the embedding's tables are not among them.
    pub fn new(config: BertConfig, parameters: Parameters) -> std::result::Result<Self, LensError> {
        let tables = Tables::new(&parameters, config.hidden_size)?;
        let modification = Arc::from(attention::parse("plain")?);
        Ok(Self { bert: Bert { config, modification }, parameters, tables, files: Vec::new() })
    }

    /// Its sizes.
    pub fn config(&self) -> &BertConfig {
        &self.bert.config
    }

    /// The files that were read, `config.json` first; none of an encoder that was not read.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The numbers of a variable.
    pub(super) fn variable(&self, name: &str) -> Result<&[f32]> {
        let absent =
            || LensError::refused("variables", "nothing", name, "use all of the encoder's");
        self.parameters.get(name).ok_or_else(absent)
    }
}
