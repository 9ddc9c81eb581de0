//! The canonical CSV of a table.

use super::{ColumnType, Schema, Table, TableBuilder};
use crate::{ArtifactError, Place};
use icl_numerics::threads::apart;
use polars::prelude::{CsvReadOptions, CsvWriter, SerReader, SerWriter};
use std::io::Cursor;

impl Table {
    /// Canonical CSV.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if polars cannot write it.
    pub fn to_csv(&self) -> Result<Vec<u8>, ArtifactError> {
        let mut bytes = Vec::new();
        let mut writer = CsvWriter::new(&mut bytes).include_header(true).n_threads(1);
        apart(|| writer.finish(&mut self.frame.clone()))
            .map_err(|error| self.broken("csv", &error))?;
        Ok(bytes)
    }

    /// Reads canonical CSV with the given columns; `name` stands in messages, so give the path.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] naming row and column of the first fault.
    pub fn from_csv(name: &str, schema: &Schema, bytes: &[u8]) -> Result<Self, ArtifactError> {
        let fault = |place: Place, found: String, expected: String| {
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
        let reader = CsvReadOptions::default()
            .with_has_header(true)
            .with_infer_schema_length(Some(0))
            .with_n_threads(Some(1))
            .into_reader_with_file_handle(Cursor::new(bytes));
        let frame = apart(|| reader.finish()).map_err(|e| {
            fault("rows".into(), e.to_string(), format!("{} fields in every row", names.len()))
        })?;
        let mut builder = Self::builder(name);
        for (column, kind) in schema {
            let texts = frame.column(column).and_then(|c| c.str().cloned());
            let texts = texts
                .map_err(|e| fault(Place::Column(column.clone()), e.to_string(), "text".into()))?;
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
                Place::Entry { row: row + 1, column: column.to_owned() },
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
