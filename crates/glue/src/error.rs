//! What can go wrong in this crate.

use icl_model::ModelError;
use std::path::{Path, PathBuf};

/// An error with its file, field, what was found, what was expected and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GlueError {
    /// A file or folder that cannot be used.
    #[error("{}: {field}: found {found}, expected {expected}; {next}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The row, column or part of it.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
        /// What to do.
        next: String,
    },
    /// Predictions that cannot be scored.
    #[error("{what}: found {found}, expected {expected}")]
    Score {
        /// Of what.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A file that cannot be read.
    #[error(transparent)]
    Artifact(#[from] artifact::ArtifactError),
    /// The model's part.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl GlueError {
    pub(crate) fn file(
        path: &Path,
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        next: &str,
    ) -> Self {
        Self::File {
            path: path.to_owned(),
            field: field.into(),
            found: found.into(),
            expected: expected.into(),
            next: next.into(),
        }
    }
}
