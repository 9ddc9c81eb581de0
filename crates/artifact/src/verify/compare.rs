//! Tables entry by entry.

use crate::ArtifactError;
use crate::finding::{Finding, Kind};
use crate::manifest::{ColumnEntry, TableEntry};
use crate::table::Table;

/// Every entry of `found` that is not the one of `expected`, those outside their column's tolerance first, then
/// by row; `file` is the table's. Where one has more rows, the common ones are compared.
///
/// # Errors
/// [`ArtifactError::Table`] if a column is missing.
pub fn compare_tables(
    file: &str,
    found: &Table,
    expected: &Table,
    entry: &TableEntry,
) -> Result<Vec<Finding>, ArtifactError> {
    let mut findings = Vec::new();
    if found.rows() != expected.rows() {
        let rows = |table: &Table| format!("{} rows", table.rows());
        findings.push(Finding::new(Kind::Rows, file, rows(found), rows(expected)));
    }
    for column in &entry.columns {
        let (got, want) = (found.entries(&column.name)?, expected.entries(&column.name)?);
        let pairs = got.into_iter().zip(want).enumerate();
        findings.extend(pairs.filter_map(|(row, pair)| compare(file, row + 1, column, pair)));
    }
    findings.sort_by_key(|finding| (finding.kind == Kind::WithinTolerance, finding.row));
    Ok(findings)
}

/// One entry of a table against the expected one.
fn compare(
    file: &str,
    row: usize,
    column: &ColumnEntry,
    (found, expected): (String, String),
) -> Option<Finding> {
    if found == expected {
        return None;
    }
    let numbers = found.parse::<f64>().ok().zip(expected.parse::<f64>().ok());
    let tolerance = column.tolerance.clone().filter(|_| numbers.is_some());
    let accepts =
        |(found, expected)| tolerance.as_ref().is_some_and(|t| t.accepts(found, expected));
    let within = numbers.is_some_and(accepts);
    let kind = if within { Kind::WithinTolerance } else { Kind::Entry };
    let (row, name) = (Some(row), Some(column.name.clone()));
    Some(Finding { row, column: name, tolerance, ..Finding::new(kind, file, found, expected) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;
    use crate::finding::text;
    use crate::tolerance::Tolerance;
    use std::collections::BTreeMap;

    fn table(losses: &[f64]) -> Table {
        let steps = (0..losses.len()).map(|i| 50 * i as i64).collect();
        let builder = Table::builder("t").integers("step", steps);
        builder.floats("loss", losses.to_vec()).build().unwrap()
    }

    fn within(absolute: f64, expected: &Table) -> TableEntry {
        let tolerance = Tolerance { absolute, relative: 0.0, reason: "a test's own".to_owned() };
        let tolerances = BTreeMap::from([("loss".to_owned(), tolerance)]);
        TableEntry::new(expected, Class::Exact, &tolerances).unwrap()
    }

    #[test]
    fn every_altered_entry_is_named_by_row_and_column() {
        let expected = table(&[0.5, 0.25, 0.125]);
        let strict = TableEntry::new(&expected, Class::Exact, &BTreeMap::new()).unwrap();
        let compared =
            |losses: &[f64]| compare_tables("t.csv", &table(losses), &expected, &strict).unwrap();
        assert_eq!(compared(&[0.5, 0.25, 0.125]), []);
        let findings = compared(&[0.5, 0.26, 0.126]);
        let places: Vec<_> = findings.iter().map(|f| (f.row, f.column.as_deref())).collect();
        assert_eq!(places, [(Some(2), Some("loss")), (Some(3), Some("loss"))]);
        let [first, ..] = &findings[..] else { panic!("none") };
        assert_eq!((first.found.as_str(), first.expected.as_str()), ("0.26", "0.25"));
        let said = "row 2, column `loss`: found 0.26, expected 0.25; 2 entries differ";
        assert_eq!(text(&findings), said);
        // a missing row hides no altered one
        let kinds: Vec<Kind> = compared(&[0.6, 0.25]).iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [Kind::Rows, Kind::Entry]);
    }

    #[test]
    fn entries_outside_their_tolerance_come_before_those_within() {
        let expected = table(&[0.5, 0.25]);
        let lenient = within(0.02, &expected);
        let kinds = |losses: &[f64]| -> Vec<Kind> {
            let findings = compare_tables("t.csv", &table(losses), &expected, &lenient).unwrap();
            findings.iter().map(|finding| finding.kind).collect()
        };
        assert_eq!(kinds(&[0.5, 0.26]), [Kind::WithinTolerance]);
        assert_eq!(kinds(&[0.51, 0.28]), [Kind::Entry, Kind::WithinTolerance]);
        let found = table(&[0.51, 0.28]);
        let findings = compare_tables("t.csv", &found, &expected, &lenient).unwrap();
        let bound = "(allowed 0.02 + 0 relative: a test's own)";
        assert!(text(&findings).starts_with("row 2, column `loss`"), "{findings:?}");
        assert!(findings[0].to_string().ends_with(bound), "{}", findings[0]);
    }
}
