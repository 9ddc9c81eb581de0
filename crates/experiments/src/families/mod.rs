//! What several items have in common: kinds of cells (training runs, equivalence curves, mutants, published
//! tolerances), statistics and claims over their results, and drawings.

pub(crate) mod attention_layer;
pub(crate) mod claims;
pub(crate) mod comparison;
pub(crate) mod constructed;
pub(crate) mod equivalence;
pub(crate) mod function_class;
pub(crate) mod iterated;
pub(crate) mod layer_pair;
pub(crate) mod mutant;
pub(crate) mod published;
pub(crate) mod regression;
pub(crate) mod resampled;
pub(crate) mod scheme;
pub(crate) mod scheme_prompt;
pub(crate) mod slope;
pub(crate) mod training;
pub(crate) mod training_figure;
pub(crate) mod transformer;
