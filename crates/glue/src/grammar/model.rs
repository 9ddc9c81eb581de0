//! A small BERT over the grammar's words, and the files of its folder.

use super::lexicon;
use crate::{GlueError, PretrainSettings};
use icl_model::attention::Parameters;
use icl_model::bert::config::BertConfig;
use icl_model::bert::folder;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Word pieces of the longest document, rounded up.
pub const LONGEST: usize = 48;
/// Positions of a model: the usual length to which sequences are cut.
const POSITIONS: usize = 128;

/// Sizes of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Layers.
    pub layers: usize,
    /// Heads of a layer.
    pub heads: usize,
    /// Size of a token, a multiple of the heads.
    pub hidden: usize,
    /// Hidden units of the feed-forward part.
    pub feed_forward: usize,
}

impl Shape {
    /// The smallest that compares two sentences after seconds of training.
    pub const SMALL: Self = Self { layers: 2, heads: 2, hidden: 64, feed_forward: 64 };

    /// The settings of such a model: BERT's, without dropout, and with initial values for small layers.
    pub fn config(self) -> BertConfig {
        BertConfig {
            vocab_size: lexicon::SPECIAL.len() + lexicon::words().len(),
            hidden_size: self.hidden,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            intermediate_size: self.feed_forward,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            max_position_embeddings: POSITIONS,
            initializer_range: 0.1,
            ..BertConfig::default()
        }
    }
}

/// Settings with which a [`Shape::SMALL`] model is trained in seconds.
pub fn pretraining(seed: u64, epochs: usize) -> PretrainSettings {
    let (batch, learning_rate) = (16, 3e-3);
    PretrainSettings { seed, epochs, batch, learning_rate, warm_up: 0.1, decay: 0.01, clip: 1.0 }
}

/// Names and contents of the files of a model of masked words, as Hugging Face lays them out; the weights come last.
///
/// # Errors
/// If a file's format refuses its content.
pub fn files(
    config: &BertConfig,
    parameters: &Parameters,
) -> Result<Vec<(&'static str, Vec<u8>)>, GlueError> {
    let mut config = json!(config);
    config["architectures"] = json!(["BertForMaskedLM"]);
    let tokenizer = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "model_max_length": POSITIONS,
    });
    Ok(vec![
        ("config.json", format!("{config:#}\n").into_bytes()),
        ("vocab.txt", lexicon::vocabulary().into_bytes()),
        ("tokenizer_config.json", format!("{tokenizer:#}\n").into_bytes()),
        ("model.safetensors", folder::to_safetensors(parameters)?),
    ])
}
