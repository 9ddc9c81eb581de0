//! The variables of a BERT: names as in its files, without the prefix `bert.`, shapes, initial values.

use super::config::BertConfig;
use crate::attention::{Modification, ParameterSpec, Parameters};

/// What stands on top of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Nothing: the hidden states.
    None,
    /// A pooler and a map to so many logits.
    Classifier(usize),
    /// Word pieces at masked places; the map back to them is the embedding's.
    MaskedWords,
}

/// Word pieces, `[vocab_size, d]`.
pub const WORDS: &str = "embeddings.word_embeddings.weight";
/// Positions, `[max_position_embeddings, d]`.
pub const POSITIONS: &str = "embeddings.position_embeddings.weight";
/// Segments, `[type_vocab_size, d]`.
pub const SEGMENTS: &str = "embeddings.token_type_embeddings.weight";
/// The pooler.
pub const POOLER: &str = "pooler.dense";
/// The map to logits.
pub const CLASSIFIER: &str = "classifier";
/// The head of masked words.
pub const MASKED: &str = "cls.predictions";

/// Prefix of layer `l`.
pub fn layer(l: usize) -> String {
    format!("encoder.layer.{l}")
}

/// Prefix of a modification's variables inside a layer's.
pub const MODIFICATION: &str = "attention.modification";

/// All variables in packing order; the three tables of the embedding come first.
pub fn specs(
    config: &BertConfig,
    head: Head,
    modification: &dyn Modification,
) -> Vec<ParameterSpec> {
    let (d, std) = (config.hidden_size, config.initializer_range);
    let mut list = Builder { std, specs: Vec::new() };
    list.table(WORDS, config.vocab_size, d);
    list.table(POSITIONS, config.max_position_embeddings, d);
    list.table(SEGMENTS, config.type_vocab_size, d);
    list.norm("embeddings.LayerNorm", d);
    for l in 0..config.num_hidden_layers {
        let name = layer(l);
        for side in ["query", "key", "value"] {
            list.affine(&format!("{name}.attention.self.{side}"), d, d);
        }
        for own in modification.variables(config.head_size()) {
            let name = format!("{name}.{MODIFICATION}.{}", own.name);
            list.specs.push(ParameterSpec { name, ..own });
        }
        list.affine(&format!("{name}.attention.output.dense"), d, d);
        list.norm(&format!("{name}.attention.output.LayerNorm"), d);
        list.affine(&format!("{name}.intermediate.dense"), config.intermediate_size, d);
        list.affine(&format!("{name}.output.dense"), d, config.intermediate_size);
        list.norm(&format!("{name}.output.LayerNorm"), d);
    }
    match head {
        Head::None => {}
        Head::Classifier(logits) => {
            list.affine(POOLER, d, d);
            list.affine(CLASSIFIER, logits, d);
        }
        Head::MaskedWords => {
            list.affine(&format!("{MASKED}.transform.dense"), d, d);
            list.norm(&format!("{MASKED}.transform.LayerNorm"), d);
            list.specs.push(ParameterSpec::new(
                format!("{MASKED}.bias"),
                &[config.vocab_size],
                0.0,
            ));
        }
    }
    list.specs
}

struct Builder {
    std: f64,
    specs: Vec<ParameterSpec>,
}

impl Builder {
    fn table(&mut self, name: &str, rows: usize, d: usize) {
        self.specs.push(ParameterSpec::new(name, &[rows, d], self.std));
    }

    fn affine(&mut self, name: &str, rows: usize, columns: usize) {
        self.table(&format!("{name}.weight"), rows, columns);
        self.specs.push(ParameterSpec::new(format!("{name}.bias"), &[rows], 0.0));
    }

    fn norm(&mut self, name: &str, d: usize) {
        self.specs.push(ParameterSpec::new(format!("{name}.weight"), &[d], 0.0));
        self.specs.push(ParameterSpec::new(format!("{name}.bias"), &[d], 0.0));
    }
}

/// Whether a variable is the gain of a norm.
fn is_gain(name: &str) -> bool {
    name.ends_with("LayerNorm.weight")
}

/// The variables at their start: normals of `initializer_range` from their own streams, gains 1, biases 0.
pub fn initialised(specs: Vec<ParameterSpec>, seed: u64) -> Parameters {
    let mut parameters = Parameters::from_specs(specs, seed);
    for (spec, range) in parameters.ranges() {
        if is_gain(&spec.name) {
            parameters.packed_mut()[range].fill(1.0);
        }
    }
    parameters
}
