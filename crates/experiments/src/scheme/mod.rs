//! Schemes: the small layer and prompt that they show, their matrices, and the page on which these are placed.

pub(crate) mod matrices;
pub(crate) mod page;
pub(crate) mod prompt;
