//! Building a table column by column.

use super::Table;
use crate::{ArtifactError, Place};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};

/// Collects the columns of a table.
#[derive(Debug)]
pub struct TableBuilder {
    pub(super) name: String,
    pub(super) columns: Vec<Series>,
}

impl TableBuilder {
    /// Adds a column of floats.
    #[must_use]
    pub fn floats(mut self, name: &str, values: Vec<f64>) -> Self {
        // -0 + 0 = 0: negative zero has no place in a canonical table
        let values: Vec<f64> = values.into_iter().map(|x| x + 0.0).collect();
        self.columns.push(Series::new(name.into(), values));
        self
    }

    /// Adds a column of integers.
    #[must_use]
    pub fn integers(mut self, name: &str, values: Vec<i64>) -> Self {
        self.columns.push(Series::new(name.into(), values));
        self
    }

    /// Adds a column of text.
    #[must_use]
    pub fn texts<S: AsRef<str>>(mut self, name: &str, values: &[S]) -> Self {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        self.columns.push(Series::new(name.into(), values));
        self
    }

    /// Checks lengths, names and finiteness.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] naming table, row and column.
    pub fn build(self) -> Result<Table, ArtifactError> {
        let n = self.columns.first().map_or(0, |series| series.len());
        for series in &self.columns {
            let column = series.name().to_string();
            if series.len() != n {
                let (found, expected) = (format!("{} rows", series.len()), format!("{n} rows"));
                return Err(ArtifactError::table(
                    &self.name,
                    Place::Column(column),
                    found,
                    expected,
                ));
            }
            if let Ok(values) = series.f64()
                && let Some(row) = values.into_no_null_iter().position(|x| !x.is_finite())
            {
                let found = values.get(row).map_or(String::new(), |x| x.to_string());
                let place = Place::Entry { row: row + 1, column };
                return Err(ArtifactError::table(&self.name, place, found, "a finite number"));
            }
        }
        let columns = self.columns.into_iter().map(Column::from).collect();
        let frame = DataFrame::new(n, columns).map_err(|error| {
            ArtifactError::table(&self.name, "columns", error.to_string(), "unique names")
        })?;
        Ok(Table { name: self.name, frame })
    }
}
