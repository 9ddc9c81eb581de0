//! Typed tables and their canonical CSV.
//!
//! A table is a polars data frame with columns of `f64`, `i64` or text and neither missing nor
//! non-finite entries. Its CSV is canonical: one header line, `\n`, floats as the shortest decimals
//! that read back to the same bits, no negative zero. Equal tables have equal bytes.

use crate::ArtifactError;
use polars::prelude::{
    Column, CsvReadOptions, CsvWriter, DataFrame, DataType, NamedFrom, SerReader, SerWriter, Series,
};
use std::io::Cursor;

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

/// Collects the columns of a table.
#[derive(Debug)]
pub struct TableBuilder {
    name: String,
    columns: Vec<Series>,
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
            let place = format!("column `{}`", series.name());
            if series.len() != n {
                let (found, expected) = (format!("{} rows", series.len()), format!("{n} rows"));
                return Err(ArtifactError::table(&self.name, place, found, expected));
            }
            if let Ok(values) = series.f64()
                && let Some(row) = values.into_no_null_iter().position(|x| !x.is_finite())
            {
                let found = values.get(row).map_or(String::new(), |x| x.to_string());
                let place = format!("row {}, {place}", row + 1);
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
                format!("column `{name}`"),
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
    pub fn stack(name: &str, tables: &[Self]) -> Result<Self, ArtifactError> {
        let mut tables = tables.iter();
        let first = tables.next().ok_or_else(|| {
            ArtifactError::table(name, "rows", "no table", "at least one table to stack")
        })?;
        let mut frame = first.frame.clone();
        for table in tables {
            frame.vstack_mut(&table.frame).map_err(|error| {
                ArtifactError::table(name, &table.name, error.to_string(), "equal columns")
            })?;
        }
        frame.rechunk_mut();
        Ok(Self { name: name.to_owned(), frame })
    }

    /// Canonical CSV.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if polars cannot write it.
    pub fn to_csv(&self) -> Result<Vec<u8>, ArtifactError> {
        let mut bytes = Vec::new();
        CsvWriter::new(&mut bytes)
            .include_header(true)
            .n_threads(1)
            .finish(&mut self.frame.clone())
            .map_err(|error| self.broken("csv", &error))?;
        Ok(bytes)
    }

    /// Reads canonical CSV with the given columns; `name` stands in messages, so give the path.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] naming row and column of the first fault.
    pub fn from_csv(name: &str, schema: &Schema, bytes: &[u8]) -> Result<Self, ArtifactError> {
        let fault = |place: String, found: String, expected: String| {
            ArtifactError::table(name, place, found, expected)
        };
        let text = std::str::from_utf8(bytes)
            .map_err(|e| fault("bytes".into(), e.to_string(), "UTF-8 text".into()))?;
        let names: Vec<&str> = schema.iter().map(|(name, _)| name.as_str()).collect();
        let header = text.lines().next().unwrap_or("");
        if header != names.join(",") {
            return Err(fault(
                "header".into(),
                format!("`{header}`"),
                format!("`{}`", names.join(",")),
            ));
        }
        let frame = CsvReadOptions::default()
            .with_has_header(true)
            .with_infer_schema_length(Some(0))
            .with_n_threads(Some(1))
            .into_reader_with_file_handle(Cursor::new(bytes))
            .finish()
            .map_err(|e| {
                fault("rows".into(), e.to_string(), format!("{} fields in every row", names.len()))
            })?;
        let mut builder = Self::builder(name);
        for (column, kind) in schema {
            let texts = frame.column(column).and_then(|c| c.str().cloned());
            let texts = texts
                .map_err(|e| fault(format!("column `{column}`"), e.to_string(), "text".into()))?;
            builder = parse_column(builder, column, *kind, texts.iter())?;
        }
        builder.build()
    }
}

/// Parses one column, naming the first entry that does not fit.
fn parse_column<'a>(
    builder: TableBuilder,
    column: &str,
    kind: ColumnType,
    entries: impl Iterator<Item = Option<&'a str>>,
) -> Result<TableBuilder, ArtifactError> {
    let mut floats = Vec::new();
    let mut integers = Vec::new();
    let mut texts = Vec::new();
    for (row, entry) in entries.enumerate() {
        let parsed = match (kind, entry) {
            (ColumnType::Float, Some(text)) => text.parse().map(|x| floats.push(x)).is_ok(),
            (ColumnType::Integer, Some(text)) => text.parse().map(|x| integers.push(x)).is_ok(),
            (ColumnType::Text, text) => {
                texts.push(text.unwrap_or(""));
                true
            }
            (_, None) => false,
        };
        if !parsed {
            return Err(ArtifactError::table(
                &builder.name,
                format!("row {}, column `{column}`", row + 1),
                entry.map_or("nothing".to_owned(), |text| format!("`{text}`")),
                format!("{kind:?}"),
            ));
        }
    }
    Ok(match kind {
        ColumnType::Float => builder.floats(column, floats),
        ColumnType::Integer => builder.integers(column, integers),
        ColumnType::Text => builder.texts(column, &texts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Table {
        Table::builder("example")
            .integers("step", vec![0, 50])
            .floats("loss", vec![0.1, 1e-300])
            .texts("setting", &["plain", "a,\"b\""])
            .build()
            .unwrap()
    }

    #[test]
    fn csv_is_the_expected_text() {
        let csv = String::from_utf8(example().to_csv().unwrap()).unwrap();
        assert_eq!(csv, "step,loss,setting\n0,0.1,plain\n50,1e-300,\"a,\"\"b\"\"\"\n");
    }

    #[test]
    fn faults_name_row_and_column() {
        let schema = example().schema();
        for (csv, part) in [
            ("step,loss,setting\n0,0.1,a\n1,x,b\n", "row 2, column `loss`: found `x`"),
            ("step,loss,setting\n0.5,0.1,a\n", "row 1, column `step`: found `0.5`"),
            ("step,loss,setting\n0,0.1,a,9\n", "rows"),
            ("step,loss\n0,0.1\n", "header"),
            ("step,loss,setting\n0,,a\n", "row 1, column `loss`: found nothing"),
            ("", "header"),
            ("step,loss,setting\n0,NaN,a\n", "row 1, column `loss`: found NaN"),
        ] {
            let message =
                Table::from_csv("t.csv", &schema, csv.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with("t.csv") && message.contains(part), "{csv:?}: {message}");
        }
    }

    proptest! {
        #[test]
        fn a_round_trip_keeps_every_bit(
            rows in prop::collection::vec((any::<f64>(), any::<i64>(), "[ -~äß\n]{0,8}"), 1..40)
        ) {
            let floats: Vec<f64> = rows.iter().map(|r| if r.0.is_finite() { r.0 } else { 0.5 }).collect();
            let texts: Vec<&str> = rows.iter().map(|r| r.2.as_str()).collect();
            let table = Table::builder("t")
                .floats("x", floats)
                .integers("i", rows.iter().map(|r| r.1).collect())
                .texts("s", &texts)
                .build()
                .unwrap();
            let csv = table.to_csv().unwrap();
            let back = Table::from_csv("t", &table.schema(), &csv).unwrap();
            prop_assert_eq!(back.to_csv().unwrap(), csv);
            let bits = |t: &Table| t.floats("x").unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back), bits(&table));
            prop_assert_eq!(back.texts("s").unwrap(), table.texts("s").unwrap());
        }
    }
}
