//! Makers of cells that several items plan: training runs of a layer or a stack, and equivalence curves.

pub(crate) mod equivalence;
pub(crate) mod orders;
pub(crate) mod training;
pub(crate) mod transformer;
