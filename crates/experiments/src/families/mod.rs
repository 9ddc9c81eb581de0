//! What several items have in common: training runs, equivalence curves, comparisons with plain.

pub(crate) mod comparison;
pub(crate) mod equivalence;
pub(crate) mod training;
pub(crate) mod training_figure;
