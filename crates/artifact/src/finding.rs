//! What is found wrong, as data: text and JSON are made from it.

use crate::tolerance::Tolerance;
use crate::{ArtifactError, Place};
use serde::Serialize;
use std::fmt;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An entry of a table that is not the expected one.
    Entry,
    /// An entry of a table that is not the expected one and lies within its column's tolerance.
    WithinTolerance,
    /// The number of rows of a table.
    Rows,
    /// A SHA-256.
    Digest,
    /// A file, an item or a result that is not there.
    Missing,
    /// An entry that nothing names.
    Foreign,
    /// A file that cannot be read.
    Unreadable,
    /// A content that is not what it should be.
    Content,
    /// The root of a folder.
    Root,
}

/// One thing that is not as it should be, at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// The file: its path inside the folder that is checked, or the whole path of what stands elsewhere.
    pub file: String,
    /// The part of it, where that is neither row nor column: a header, a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Row of a table after its header, or line of a list, from 1.
    pub row: Option<usize>,
    /// Column of a table.
    pub column: Option<String>,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
    /// Who expects it, where that is not the expected output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the column allows, if it allows anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    /// A finding about a whole file.
    pub fn new(
        kind: Kind,
        file: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            file: file.into(),
            part: None,
            row: None,
            column: None,
            found: found.into(),
            expected: expected.into(),
            by: None,
            tolerance: None,
            hint: None,
        }
    }

    /// A file whose SHA-256 is not the one that `by` says; without it, not that of the expected output.
    pub fn digest(file: &str, found: &str, expected: &str, by: Option<&str>) -> Self {
        let by = by.map(str::to_owned);
        Self { by, ..Self::new(Kind::Digest, file, found, expected) }
    }

    /// A file or folder that is not there.
    pub fn missing(file: &str, expected: &str, hint: &str) -> Self {
        Self::new(Kind::Missing, file, "nothing", expected).with_hint(hint)
    }

    /// An entry that is nobody's.
    pub fn foreign(file: &str, expected: &str) -> Self {
        let found = "an entry that nothing names";
        Self::new(Kind::Foreign, file, found, expected).with_hint("move it away")
    }

    /// What an error says of a file.
    pub fn of_error(file: &str, error: &ArtifactError) -> Self {
        match error {
            ArtifactError::Table { place, found, expected, .. } => {
                let finding = Self::new(Kind::Content, file, found, expected);
                match place.clone() {
                    Place::Part(part) => Self { part: Some(part), ..finding },
                    Place::Column(column) => Self { column: Some(column), ..finding },
                    Place::Entry { row, column } => {
                        Self { row: Some(row), column: Some(column), ..finding }
                    }
                }
            }
            ArtifactError::File { cause, hint, .. } => {
                let gone = cause.kind() == std::io::ErrorKind::NotFound;
                let kind = if gone { Kind::Missing } else { Kind::Unreadable };
                Self::new(kind, file, cause.to_string(), "a file that can be read").with_hint(hint)
            }
            ArtifactError::Content { field, found, expected, hint, .. } => {
                let finding = Self::new(Kind::Content, file, found, expected).with_hint(hint);
                Self { part: Some(field.clone()), ..finding }
            }
            ArtifactError::Figure { what, found, expected, .. } => {
                let finding = Self::new(Kind::Content, file, found, expected);
                Self { part: Some(what.clone()), ..finding }
            }
        }
    }

    /// The same with the next step.
    #[must_use]
    pub fn with_hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }

    /// The same, where `by` says what should be there.
    #[must_use]
    pub fn said_by(self, by: &str) -> Self {
        Self { by: Some(by.to_owned()), ..self }
    }
}

/// The text without the file.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(part) = &self.part {
            write!(f, "{part}: ")?;
        }
        match (self.row, &self.column) {
            (Some(row), Some(column)) => write!(f, "row {row}, column `{column}`: ")?,
            (Some(row), None) => write!(f, "line {row}: ")?,
            (None, Some(column)) => write!(f, "column `{column}`: ")?,
            (None, None) => {}
        }
        match self.kind {
            Kind::Digest => write!(f, "SHA-256 ")?,
            Kind::Root => write!(f, "root ")?,
            _ => {}
        }
        write!(f, "found {}, ", self.found)?;
        match &self.by {
            Some(by) => write!(f, "{by} says {}", self.expected)?,
            None => write!(f, "expected {}", self.expected)?,
        }
        if let Some(Tolerance { absolute, relative, reason }) = &self.tolerance {
            write!(f, " (allowed {absolute} + {relative} relative: {reason})")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// The text of several findings: of the entries of a table only the first, and how many there are.
pub(crate) fn text(findings: &[Finding]) -> String {
    let is_entry = |finding: &&Finding| matches!(finding.kind, Kind::Entry | Kind::WithinTolerance);
    let (entries, others): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(is_entry);
    let first = entries.first().map(ToString::to_string);
    let count = (entries.len() > 1).then(|| format!("{} entries differ", entries.len()));
    let parts = first.into_iter().chain(count).chain(others.iter().map(ToString::to_string));
    parts.collect::<Vec<String>>().join("; ")
}
