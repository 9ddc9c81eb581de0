//! Schemes: the small layer and prompt that they show, and the page on which matrices are placed.

pub(crate) mod page;
pub(crate) mod prompt;
