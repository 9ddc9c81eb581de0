//! Outputs that become the expected ones.

use super::{copied, icl};
use std::path::Path;

const RUN: [&str; 4] = ["run", "fig3-linear", "--profile", "smoke"];
const TABLE: &str = "data/smoke/fig3-linear/finals.csv";

fn bless(workspace: &Path, reason: &str) -> (Option<i32>, String) {
    icl(workspace, &["bless", "fig3-linear", "--profile", "smoke", "--reason", reason])
}

/// The first number of the last column, doubled; the text, and the number as it was.
fn doubled(text: &str) -> (String, f64) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (head, last) = lines[1].rsplit_once(',').unwrap();
    let number: f64 = last.parse().unwrap();
    lines[1] = format!("{head},{}", 2.0 * number);
    (lines.join("\n") + "\n", number)
}

#[test]
fn what_changed_is_named_with_its_size_and_its_reason() {
    let dir = copied();
    let (workspace, table) = (dir.path(), dir.path().join(TABLE));
    assert_eq!(icl(workspace, &RUN).0, Some(0));
    // the expected table and its manifest are made those of other outputs
    let good = std::fs::read_to_string(&table).unwrap();
    let (other, number) = doubled(&good);
    std::fs::write(&table, &other).unwrap();
    let manifest = workspace.join("figures/smoke/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let digest = |text: &str| artifact::digest::sha256(text.as_bytes());
    std::fs::write(&manifest, text.replace(&digest(&good), &digest(&other))).unwrap();
    let (code, text) = bless(workspace, "numbers are halved");
    assert_eq!(code, Some(0), "{text}");
    let change = format!("column `robust_error`: {} -> {number}", 2.0 * number);
    for part in ["1 items changed", "finals.csv", "row 1", &change] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(std::fs::read_to_string(&table).unwrap(), good);
    let log = std::fs::read_to_string(workspace.join("CHANGELOG.md")).unwrap();
    let (_, after) = log.split_once("### Hash-breaking").unwrap();
    assert!(after.contains("- fig3-linear (smoke): numbers are halved"), "{after}");
    // nothing left to change
    let (code, text) = bless(workspace, "again");
    assert!(code == Some(0) && text.contains("0 items changed"), "{text}");
    assert_eq!(std::fs::read_to_string(workspace.join("CHANGELOG.md")).unwrap(), log);
}

#[test]
fn outputs_that_are_damaged_missing_or_without_a_reason_are_refused() {
    let dir = copied();
    let workspace = dir.path();
    let before = std::fs::read(workspace.join("figures/smoke/SHA256SUMS")).unwrap();
    let refused = |reason: &str, parts: &[&str]| {
        let (code, text) = bless(workspace, reason);
        assert_eq!(code, Some(2), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{parts:?}: {text}");
    };
    refused("none was run", &["found no outputs", "icl run"]);
    assert_eq!(icl(workspace, &RUN).0, Some(0));
    refused(" ", &["--reason", "expected why"]);
    let (code, text) = icl(workspace, &["bless", "fig99", "--reason", "x"]);
    assert!(code == Some(2) && text.contains("fig99"), "{text}");
    let table = workspace.join("out/smoke/data/fig3-linear/finals.csv");
    let (other, _) = doubled(&std::fs::read_to_string(&table).unwrap());
    std::fs::write(&table, other).unwrap();
    refused("a digit", &["finals.csv", "icl run"]);
    assert_eq!(std::fs::read(workspace.join("figures/smoke/SHA256SUMS")).unwrap(), before);
}
