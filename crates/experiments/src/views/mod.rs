//! One attention layer seen from both sides: as `icl-model` computes it, and in plain `f64` numbers.

pub(crate) mod attention_layer;
pub(crate) mod base_layer;
pub(crate) mod heads;
pub(crate) mod layer_pair;
pub(crate) mod masking;
pub(crate) mod precision;
