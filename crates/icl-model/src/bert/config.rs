//! The settings of a pretrained BERT, as its folder's `config.json` states them.

use crate::ModelError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `config.json`; fields that do not concern us are ignored, absent ones have the defaults of the format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// The family: `bert`.
    pub model_type: String,
    /// Word pieces.
    pub vocab_size: usize,
    /// Size of a token, `d`.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of a layer.
    pub num_attention_heads: usize,
    /// Hidden units of the feed-forward part.
    pub intermediate_size: usize,
    /// Its activation.
    pub hidden_act: Activation,
    /// Share of dropped entries after embeddings, attention and feed-forward part.
    pub hidden_dropout_prob: f64,
    /// Share of dropped attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Kinds of segments.
    pub type_vocab_size: usize,
    /// Standard deviation of initial values.
    pub initializer_range: f64,
    /// Added to variances of norms.
    pub layer_norm_eps: f64,
    /// The word piece that pads.
    pub pad_token_id: u32,
    /// How positions enter: `absolute`.
    pub position_embedding_type: String,
    /// Whether later tokens are hidden: not in an encoder.
    pub is_decoder: bool,
}

/// Activation of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x Phi(x)`.
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU by the hyperbolic tangent.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
}

impl Default for BertConfig {
    /// BERT-base.
    fn default() -> Self {
        Self {
            model_type: "bert".into(),
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            position_embedding_type: "absolute".into(),
            is_decoder: false,
        }
    }
}

impl BertConfig {
    /// Reads the text of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`ModelError::File`] naming the field, what it holds and what is supported.
    pub fn from_json(path: &Path, text: &str) -> Result<Self, ModelError> {
        let config: Self = serde_json::from_str(text).map_err(|error| {
            ModelError::file(path, "content", &error.to_string(), "the config.json of a BERT")
        })?;
        config.check(path)?;
        Ok(config)
    }

    /// Size of a head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    fn check(&self, path: &Path) -> Result<(), ModelError> {
        let refuse = |field: &str, found: &dyn ToString, expected: &str| {
            Err(ModelError::file(path, field, &found.to_string(), expected))
        };
        if self.model_type != "bert" {
            return refuse("model_type", &self.model_type, "bert");
        }
        if self.position_embedding_type != "absolute" {
            let found = &self.position_embedding_type;
            return refuse("position_embedding_type", found, "absolute");
        }
        if self.is_decoder {
            return refuse("is_decoder", &true, "false: an encoder");
        }
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 10),
        ];
        for (field, size, most) in sizes {
            if !(1..=most).contains(&size) {
                return refuse(field, &size, &format!("1 to {most}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", self.hidden_size);
            return refuse("num_attention_heads", &self.num_attention_heads, &expected);
        }
        for (field, share) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&share) {
                return refuse(field, &share, "0 to less than 1");
            }
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return refuse("layer_norm_eps", &self.layer_norm_eps, "a small positive number");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_have_the_defaults_of_the_format_and_others_are_ignored() {
        let text = r#"{ "hidden_size": 128, "num_attention_heads": 2, "use_cache": true }"#;
        let config = BertConfig::from_json(Path::new("config.json"), text).unwrap();
        assert_eq!((config.head_size(), config.num_hidden_layers), (64, 12));
        assert_eq!((config.hidden_act, config.layer_norm_eps), (Activation::Gelu, 1e-12));
    }

    #[test]
    fn what_is_not_supported_is_refused_with_file_and_field() {
        for (text, field) in [
            (r#"{ "model_type": "gpt2" }"#, "model_type"),
            (r#"{ "hidden_size": 100 }"#, "num_attention_heads"),
            (r#"{ "hidden_act": "silu" }"#, "silu"),
            (r#"{ "position_embedding_type": "relative_key" }"#, "absolute"),
            (r#"{ "num_hidden_layers": 0 }"#, "num_hidden_layers"),
            (r#"{ "hidden_dropout_prob": 1.0 }"#, "hidden_dropout_prob"),
            (r#"{ "is_decoder": true }"#, "is_decoder"),
            ("[", "config.json of a BERT"),
        ] {
            let error = BertConfig::from_json(Path::new("x/config.json"), text).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("x/config.json") && message.contains(field), "{message}");
        }
    }
}
