//! Tables entry by entry.

use crate::ArtifactError;
use crate::manifest::TableEntry;
use crate::table::Table;

/// How two tables differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Whether every entry is within its column's tolerance.
    pub within: bool,
    /// The first entry outside its tolerance, or the first one that differs.
    pub text: String,
}

/// Compares `found` with `expected` entry by entry; rows are counted from 1 after the header.
///
/// # Errors
/// [`ArtifactError::Table`] if a column is missing.
pub fn compare_tables(
    found: &Table,
    expected: &Table,
    entry: &TableEntry,
) -> Result<Difference, ArtifactError> {
    if found.rows() != expected.rows() {
        let text = format!("found {} rows, expected {}", found.rows(), expected.rows());
        return Ok(Difference { within: false, text });
    }
    let mut differing: Vec<(bool, usize, String)> = Vec::new();
    for column in &entry.columns {
        let (got, want) = (found.entries(&column.name)?, expected.entries(&column.name)?);
        for (row, (got, want)) in got.iter().zip(&want).enumerate().filter(|(_, (g, w))| g != w) {
            let numbers = got.parse::<f64>().ok().zip(want.parse::<f64>().ok());
            let (close, allowed) = match (&column.tolerance, numbers) {
                (Some(t), Some((got, want))) => {
                    let allowed = format!(
                        " (allowed {} + {} relative: {})",
                        t.absolute, t.relative, t.reason
                    );
                    (t.accepts(got, want), allowed)
                }
                _ => (false, String::new()),
            };
            let (row, name) = (row + 1, &column.name);
            let text = format!("row {row}, column `{name}`: found {got}, expected {want}{allowed}");
            differing.push((close, row, text));
        }
    }
    // the first entry outside its tolerance, or the first one at all
    differing.sort_by_key(|(close, row, _)| (*close, *row));
    let count = differing.len();
    Ok(match differing.into_iter().next() {
        Some((within, _, text)) => {
            let others =
                if count > 1 { format!("; {count} entries differ") } else { String::new() };
            Difference { within, text: text + &others }
        }
        None => Difference { within: true, text: "equal entries, other bytes".into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerance::Tolerance;
    use std::collections::BTreeMap;

    fn table(losses: [f64; 2]) -> Table {
        let builder = Table::builder("t").integers("step", vec![0, 50]);
        builder.floats("loss", losses.to_vec()).build().unwrap()
    }

    #[test]
    fn the_first_altered_entry_is_named_and_tolerances_hold() {
        let expected = table([0.5, 0.25]);
        let strict = TableEntry::new(&expected, &BTreeMap::new()).unwrap();
        let difference = compare_tables(&table([0.5, 0.26]), &expected, &strict).unwrap();
        assert_eq!(difference.text, "row 2, column `loss`: found 0.26, expected 0.25");
        let tolerance =
            Tolerance { absolute: 0.02, relative: 0.0, reason: "a test's own".to_owned() };
        let tolerances = BTreeMap::from([("loss".to_owned(), tolerance)]);
        let lenient = TableEntry::new(&expected, &tolerances).unwrap();
        assert!(compare_tables(&table([0.5, 0.26]), &expected, &lenient).unwrap().within);
        assert!(!compare_tables(&table([0.5, 0.28]), &expected, &lenient).unwrap().within);
    }
}
