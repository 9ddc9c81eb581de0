//! Statistics and claims over the results of cells.

pub(crate) mod claims;
pub(crate) mod comparison;
pub(crate) mod resampled;
pub(crate) mod slope;
