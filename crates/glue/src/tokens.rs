//! From sentences to word pieces, by the tokenizer of a model's folder.

use crate::{GlueError, Row};
use artifact::output;
use icl_model::bert::{Masking, Sequence};
use std::path::{Path, PathBuf};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{Tokenizer, TruncationParams, TruncationStrategy};

/// A model's tokenizer, with truncation and padding as we say, not as its file does.
#[derive(Debug)]
pub struct WordPieces {
    tokenizer: Tokenizer,
    path: PathBuf,
}

impl WordPieces {
    /// Reads `tokenizer.json`, or builds the standard one from `vocab.txt`, and cuts sequences to `longest` word pieces,
    /// the longer sentence of a pair first.
    ///
    /// # Errors
    /// [`GlueError::File`] if the folder holds neither, or a damaged one.
    pub fn open(folder: &Path, longest: usize) -> Result<Self, GlueError> {
        let path = Self::file(folder)?;
        let tokenizer = if path.extension().is_some_and(|extension| extension == "json") {
            Tokenizer::from_file(&path).map_err(|error| broken(&path, &*error))?
        } else {
            let lower = keeps_case(folder)?.is_none_or(|keeps| !keeps);
            standard(&path, &output::read(&path)?, lower)?
        };
        Self::cut(tokenizer, path, longest)
    }

    /// BERT's own tokenizer over the content of a `vocab.txt`, which puts everything in lower case.
    ///
    /// # Errors
    /// [`GlueError::File`] if a special word piece is missing.
    pub fn from_vocabulary(vocabulary: &str, longest: usize) -> Result<Self, GlueError> {
        let path = PathBuf::from("vocab.txt");
        Self::cut(standard(&path, vocabulary.as_bytes(), true)?, path, longest)
    }

    fn cut(mut tokenizer: Tokenizer, path: PathBuf, longest: usize) -> Result<Self, GlueError> {
        let truncation = TruncationParams {
            max_length: longest,
            strategy: TruncationStrategy::LongestFirst,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| broken(&path, &*error))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, path })
    }

    /// `tokenizer.json`, or `vocab.txt`.
    ///
    /// # Errors
    /// [`GlueError::File`] if the folder holds neither.
    pub fn file(folder: &Path) -> Result<PathBuf, GlueError> {
        let known = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name));
        known.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            let expected = "tokenizer.json or vocab.txt";
            let next = "name the folder of a pretrained BERT";
            GlueError::file(folder, "tokenizer", "neither", expected, next)
        })
    }

    /// The word pieces of a row, with the special ones.
    ///
    /// # Errors
    /// [`GlueError::File`] if the tokenizer refuses the text.
    pub fn sequence(&self, row: &Row) -> Result<Sequence, GlueError> {
        Ok(self.sequence_and_whether_cut(row)?.0)
    }

    /// The same, and whether the row was too long and is cut.
    ///
    /// # Errors
    /// As [`Self::sequence`].
    pub fn sequence_and_whether_cut(&self, row: &Row) -> Result<(Sequence, bool), GlueError> {
        let first = row.first.as_str();
        let encoding = match &row.second {
            Some(second) => self.tokenizer.encode((first, second.as_str()), true),
            None => self.tokenizer.encode(first, true),
        };
        let encoding = encoding.map_err(|error| broken(&self.path, &*error))?;
        let (ids, segments) = (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec());
        Ok((Sequence { ids, segments }, !encoding.get_overflowing().is_empty()))
    }

    /// The text of a word piece.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }

    /// The number of a word piece.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.tokenizer.token_to_id(piece)
    }

    /// Masking of ordinary word pieces: of all but those in brackets, as `[CLS]`.
    ///
    /// # Errors
    /// [`GlueError::File`] if there is no `[MASK]`.
    pub fn masking(&self) -> Result<Masking, GlueError> {
        let mask = self.id("[MASK]").ok_or_else(|| {
            let next = "use the vocabulary of a BERT";
            GlueError::file(&self.path, "[MASK]", "nothing", "a word piece", next)
        })?;
        let bracketed = |piece: String| piece.starts_with('[') && piece.ends_with(']');
        let all = 0..self.tokenizer.get_vocab_size(true) as u32;
        let ordinary = all.filter(|id| !self.piece(*id).is_none_or(bracketed)).collect();
        Ok(Masking::new(mask, ordinary))
    }
}

/// BERT's own tokenizer over the bytes of a vocabulary; `path` is for messages.
fn standard(path: &Path, vocabulary: &[u8], lower: bool) -> Result<Tokenizer, GlueError> {
    let fail = |error: tokenizers::Error| broken(path, &*error);
    let vocabulary = WordPiece::read_bytes(vocabulary).map_err(fail)?;
    let pieces = WordPiece::builder().vocab(vocabulary).unk_token("[UNK]".into()).build();
    let mut tokenizer = Tokenizer::new(pieces.map_err(fail)?);
    let special = |piece: &str| {
        let id = tokenizer.token_to_id(piece).map(|id| (piece.to_owned(), id));
        let next = "use the vocabulary of a BERT";
        id.ok_or_else(|| GlueError::file(path, piece, "nothing", "a word piece", next))
    };
    let ends = BertProcessing::new(special("[SEP]")?, special("[CLS]")?);
    tokenizer.with_normalizer(Some(BertNormalizer::new(true, true, None, lower))).map_err(fail)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(ends));
    Ok(tokenizer)
}

/// Whether case is kept; none where nothing says so.
fn keeps_case(folder: &Path) -> Result<Option<bool>, GlueError> {
    let path = folder.join("tokenizer_config.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| broken(&path, &error))?;
    Ok(config.get("do_lower_case").and_then(serde_json::Value::as_bool).map(|lower| !lower))
}

fn broken(path: &Path, error: &dyn std::error::Error) -> GlueError {
    let next = "fetch the model again";
    GlueError::file(path, "tokenizer", error.to_string(), "an undamaged tokenizer", next)
}
