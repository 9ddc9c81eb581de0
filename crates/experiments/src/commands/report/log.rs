//! What the verification found, beside what it expected.

use artifact::finding::{Finding, Kind};
use artifact::verify::OutputReport;
use serde::Serialize;

/// One thing that is not as it should be.
#[derive(Serialize)]
pub(super) struct Logged {
    level: &'static str,
    path: String,
    /// Row, column or part.
    place: String,
    found: String,
    expected: String,
    /// The bits of two numbers: what they have in common, and how each goes on.
    bits: Option<[String; 3]>,
}

/// Findings of a file that the page shows: one table can differ in every entry.
const SHOWN: usize = 5;

impl Logged {
    /// The first findings about a file.
    pub(super) fn of(output: &OutputReport) -> Vec<Self> {
        let one = |finding: &Finding| Self {
            level: output.level.word(),
            path: finding.file.clone(),
            place: place(finding),
            found: finding.found.clone(),
            expected: finding.expected.clone(),
            bits: bits(finding),
        };
        let mut all: Vec<Self> = output.findings.iter().take(SHOWN).map(one).collect();
        if output.findings.len() > SHOWN {
            all.push(Self {
                level: output.level.word(),
                path: output.path.clone(),
                place: String::new(),
                found: format!("{} more; `icl verify` names them", output.findings.len() - SHOWN),
                expected: String::new(),
                bits: None,
            });
        }
        all
    }
}

fn place(finding: &Finding) -> String {
    let row = finding.row.map(|row| format!("row {row}"));
    let parts = [row, finding.column.clone(), finding.part.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Of an entry that is a number, and another one than expected.
fn bits(finding: &Finding) -> Option<[String; 3]> {
    if !matches!(finding.kind, Kind::Entry | Kind::WithinTolerance) {
        return None;
    }
    let hex = |text: &str| text.parse::<f64>().ok().map(|x| format!("{:016x}", x.to_bits()));
    let (found, expected) = (hex(&finding.found)?, hex(&finding.expected)?);
    let same = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    Some([&found[..same], &found[same..], &expected[same..]].map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_the_bits_in_which_they_differ() {
        let finding = Finding::new(Kind::Entry, "t.csv", "0.5", "0.5000000000000001");
        let [same, found, expected] = bits(&finding).unwrap();
        assert_eq!(
            (same.as_str(), found.as_str(), expected.as_str()),
            ("3fe000000000000", "0", "1")
        );
        assert!(bits(&Finding::new(Kind::Digest, "t.csv", "1e5", "2e5")).is_none());
        assert!(bits(&Finding::new(Kind::Entry, "t.csv", "a", "b")).is_none());
    }
}
