//! Typed tables and their canonical CSV.
//!
//! A table is a polars data frame with columns of `f64`, `i64` or text and neither missing nor
//! non-finite entries. Its CSV is canonical: one header line, `\n`, floats as the shortest decimals
//! that read back to the same bits, no negative zero. Equal tables have equal bytes.

mod builder;
mod csv;

pub use builder::TableBuilder;

use crate::{ArtifactError, Place};
use polars::prelude::{Column, DataFrame, DataType};

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// `f64`.
    Float,
    /// `i64`.
    Integer,
    /// UTF-8 text.
    Text,
}

/// Names and types of the columns, in order.
pub type Schema = Vec<(String, ColumnType)>;

/// A named table.
#[derive(Debug, Clone)]
pub struct Table {
    name: String,
    frame: DataFrame,
}

impl Table {
    /// Starts a table.
    pub fn builder(name: impl Into<String>) -> TableBuilder {
        TableBuilder { name: name.into(), columns: Vec::new() }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same table under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// Names and types of the columns.
    pub fn schema(&self) -> Schema {
        let column = |column: &Column| {
            let kind = match column.dtype() {
                DataType::Float64 => ColumnType::Float,
                DataType::Int64 => ColumnType::Integer,
                _ => ColumnType::Text,
            };
            (column.name().to_string(), kind)
        };
        self.frame.columns().iter().map(column).collect()
    }

    fn column(&self, name: &str, kind: ColumnType) -> Result<&Column, ArtifactError> {
        let known = self.schema();
        let found = known.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind);
        match (found, self.frame.column(name)) {
            (Some(found), Ok(column)) if found == kind => Ok(column),
            (found, _) => Err(ArtifactError::table(
                &self.name,
                Place::Column(name.to_owned()),
                found.map_or("no such column".to_owned(), |kind| format!("{kind:?}")),
                format!("{kind:?}; columns are {known:?}"),
            )),
        }
    }

    /// A column of floats.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is no such column of floats.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>, ArtifactError> {
        let column = self.column(name, ColumnType::Float)?;
        let values = column.f64().map_err(|e| self.broken(name, &e))?;
        Ok(values.iter().flatten().collect())
    }

    /// A column of integers.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is no such column of integers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, ArtifactError> {
        let column = self.column(name, ColumnType::Integer)?;
        let values = column.i64().map_err(|e| self.broken(name, &e))?;
        Ok(values.iter().flatten().collect())
    }

    /// A column of text.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is no such column of text.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, ArtifactError> {
        let column = self.column(name, ColumnType::Text)?;
        let values = column.str().map_err(|e| self.broken(name, &e))?;
        Ok(values.iter().flatten().map(str::to_owned).collect())
    }

    /// A column of numbers, integers widened.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is no such column of numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, ArtifactError> {
        match self.integers(name) {
            Ok(integers) => Ok(integers.into_iter().map(|x| x as f64).collect()),
            Err(_) => self.floats(name),
        }
    }

    /// Every entry of a column as the text that stands in the CSV.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if there is no such column.
    pub fn entries(&self, name: &str) -> Result<Vec<String>, ArtifactError> {
        if let Ok(floats) = self.floats(name) {
            return Ok(floats.into_iter().map(|x| format!("{x:?}")).collect());
        }
        if let Ok(integers) = self.integers(name) {
            return Ok(integers.into_iter().map(|x| x.to_string()).collect());
        }
        self.texts(name)
    }

    fn broken(&self, name: &str, error: &dyn std::fmt::Display) -> ArtifactError {
        ArtifactError::table(&self.name, name, error.to_string(), "a readable column")
    }

    /// The rows of `tables` one after the other; all must have the first one's columns.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if columns differ or there is no table.
    pub fn stack<'a>(
        name: &str,
        tables: impl IntoIterator<Item = &'a Self>,
    ) -> Result<Self, ArtifactError> {
        let mut tables = tables.into_iter();
        let first = tables.next().ok_or_else(|| {
            ArtifactError::table(name, "rows", "no table", "at least one table to stack")
        })?;
        let mut frame = first.frame.clone();
        for table in tables {
            frame.vstack_mut(&table.frame).map_err(|error| {
                ArtifactError::table(name, table.name.as_str(), error.to_string(), "equal columns")
            })?;
        }
        frame.rechunk_mut();
        Ok(Self { name: name.to_owned(), frame })
    }
}
