//! What can go wrong in this crate.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where in a table a fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A part that is no entry: the header, the rows together.
    Part(String),
    /// A column.
    Column(String),
    /// An entry.
    Entry {
        /// Row after the header, from 1.
        row: usize,
        /// Column.
        column: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "{part}"),
            Self::Column(column) => write!(f, "column `{column}`"),
            Self::Entry { row, column } => write!(f, "row {row}, column `{column}`"),
        }
    }
}

impl From<&str> for Place {
    fn from(part: &str) -> Self {
        Self::Part(part.to_owned())
    }
}

/// An error of the artifact crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A table that cannot be built or read.
    #[error("{table}: {place}: found {found}, expected {expected}")]
    Table {
        /// Name or path of the table.
        table: String,
        /// Where in it.
        place: Place,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A file or folder that cannot be read or written.
    #[error("{}: cannot {action}: {cause}; {hint}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        cause: std::io::Error,
        /// The next step.
        hint: &'static str,
    },
    /// A file whose content is not what it should be.
    #[error("{}: {field}: found {found}, expected {expected}; {hint}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The part of it.
        field: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
        /// The next step.
        hint: &'static str,
    },
    /// A figure that cannot be drawn.
    #[error("figure {figure}: {what}: found {found}, expected {expected}")]
    Figure {
        /// The figure's id.
        figure: String,
        /// The part of it.
        what: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
}

impl ArtifactError {
    /// A failed file operation.
    pub(crate) fn file(
        path: &Path,
        action: &'static str,
        hint: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, action, cause, hint }
    }

    /// A table's fault at a place.
    pub(crate) fn table(
        table: &str,
        place: impl Into<Place>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Table {
            table: table.to_owned(),
            place: place.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}
