//! The hub's parquet files.

use super::Row;
use crate::{GlueError, Task};
use bytes::Bytes;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{self, Field};
use std::path::Path;

const NEXT: &str = "fetch the file again, or check that it is of this task";

pub(super) fn rows(path: &Path, task: Task, bytes: Vec<u8>) -> Result<Vec<Row>, GlueError> {
    let damaged = |error: parquet::errors::ParquetError| {
        let expected = "an undamaged parquet file, compressed by snappy or not at all";
        GlueError::file(path, "content", error.to_string(), expected, NEXT)
    };
    let file = SerializedFileReader::new(Bytes::from(bytes)).map_err(damaged)?;
    let rows = file.get_row_iter(None).map_err(damaged)?;
    let row = |(number, row): (usize, Result<record::Row, _>)| {
        let row = row.map_err(damaged)?;
        let place = Place { path, number, row: &row };
        let [first, second] = if task.is_pair() {
            [place.text("sentence1")?, place.text("sentence2")?].map(Some)
        } else {
            [Some(place.text("sentence")?), None]
        };
        let first = first.unwrap_or_default();
        Ok(Row { first, second, label: place.label(task)? })
    };
    rows.enumerate().map(row).collect()
}

/// A row of a file.
struct Place<'a> {
    path: &'a Path,
    number: usize,
    row: &'a record::Row,
}

impl Place<'_> {
    fn field(&self, name: &str) -> Result<&Field, GlueError> {
        let found = self.row.get_column_iter().find(|(column, _)| *column == name);
        let absent = || {
            let names: Vec<&str> =
                self.row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            self.refused(name, names.join(", "), "a column of that name")
        };
        found.map(|(_, field)| field).ok_or_else(absent)
    }

    fn refused(&self, column: &str, found: impl Into<String>, expected: &str) -> GlueError {
        let field = format!("row {}, column {column}", self.number);
        GlueError::file(self.path, field, found, expected, NEXT)
    }

    fn text(&self, name: &str) -> Result<String, GlueError> {
        match self.field(name)? {
            Field::Str(text) if !text.is_empty() => Ok(text.clone()),
            Field::Str(_) | Field::Null => Err(self.refused(name, "nothing", "a sentence")),
            other => Err(self.refused(name, other.to_string(), "a sentence")),
        }
    }

    /// The label; -1 stands for none.
    fn label(&self, task: Task) -> Result<Option<f64>, GlueError> {
        let field = self.field("label")?;
        let number = match field {
            Field::Byte(x) => f64::from(*x),
            Field::Short(x) => f64::from(*x),
            Field::Int(x) => f64::from(*x),
            Field::Long(x) => *x as f64,
            Field::Float(x) => f64::from(*x),
            Field::Double(x) => *x,
            _ => f64::NAN,
        };
        let score = task == Task::StsB;
        match number {
            -1.0 => Ok(None),
            label if score && (0.0..=5.0).contains(&label) => Ok(Some(label)),
            label if !score && (label == 0.0 || label == 1.0) => Ok(Some(label)),
            _ => {
                let expected = if score { "a score from 0 to 5" } else { "0 or 1" };
                Err(self.refused("label", field.to_string(), expected))
            }
        }
    }
}
