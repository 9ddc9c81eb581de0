//! What can go wrong in this crate.

/// An error of the dual-model crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DualError {
    /// Arrays that do not fit together.
    #[error("{op}: found size {found}, expected {expected}")]
    Size {
        /// The operation.
        op: &'static str,
        /// The size found.
        found: usize,
        /// The size expected.
        expected: usize,
    },
    /// A parameter outside its range.
    #[error("{name}: found {found}, expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        found: String,
        /// The allowed values.
        expected: &'static str,
    },
    /// A query that sees no token: its attention is undefined.
    #[error("query {query}: found no visible token, expected at least one")]
    NothingVisible {
        /// Index of the query.
        query: usize,
    },
    /// A name or an option that a registry refuses.
    #[error(transparent)]
    Registry(#[from] icl_registry::RegistryError),
}

impl DualError {
    /// Checks a size.
    pub(crate) fn size(op: &'static str, found: usize, expected: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Size { op, found, expected }) }
    }
}
