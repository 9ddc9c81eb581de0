//! Printing of verification reports.

use crate::console::{note, say};
use artifact::claim::{Claim, Verdict};
use artifact::digest::short;
use artifact::verify::{Level, OutputReport, Report};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Prints every finding with its file.
pub(crate) fn print_findings(dir: &Path, outputs: &[OutputReport]) {
    for output in outputs.iter().filter(|output| !output.level.passes()) {
        let path = match output.item.as_str() {
            "recomputed" => PathBuf::from(&output.path),
            _ => dir.join(&output.path),
        };
        say!("{}: {}: {}", output.level.word(), path.display(), output.detail());
    }
}

/// Prints a folder's report: one line per item, the differences, the root.
pub(crate) fn print_report(dir: &Path, report: &Report, counts: &BTreeMap<&str, (usize, usize)>) {
    say!("{:<30} {:>9} {:<10} {:>8} {:>8}", "item", "new+kept", "level", "claims", "tested");
    let mut items: BTreeMap<&str, Vec<&OutputReport>> = BTreeMap::new();
    for output in &report.outputs {
        items.entry(output.item.as_str()).or_default().push(output);
    }
    for (id, outputs) in items {
        let level = outputs.iter().map(|output| output.level).max().unwrap_or(Level::Missing);
        let cells = counts.get(id).map_or(String::new(), |(new, kept)| format!("{new}+{kept}"));
        let own = |claim: &&Claim| claim.id.split('/').next() == Some(id);
        let tally = |expected: bool| {
            let judged = |c: &&Claim| c.expected == expected && c.judge() != Verdict::NotJudged;
            let claims: Vec<&Claim> = report.claims.iter().filter(own).filter(judged).collect();
            let good = |c: &&&Claim| c.judge().is_met();
            match claims.len() {
                0 => String::new(),
                n => format!("{}/{n}", claims.iter().filter(good).count()),
            }
        };
        let name = if id.is_empty() { "lists and expected files" } else { id };
        let word = level.word();
        say!("{name:<30} {cells:>9} {word:<10} {:>8} {:>8}", tally(true), tally(false));
    }
    print_findings(dir, &report.outputs);
    if !report.absent.is_empty() {
        say!("not run, and so not reproduced: {}", report.absent.join(", "));
    }
    report.notes.iter().for_each(|text| note!("note: {text}"));
    for claim in report.claims.iter().filter(|claim| claim.breaks()) {
        let Claim { id, statement, value, bound, .. } = claim;
        say!("claim {}: {id}: {statement}: value {value}, bound {bound}", claim.judge().word());
    }
    let expected = match &report.expected_root {
        Some(root) if *root == report.root => "as expected".to_owned(),
        Some(root) => format!("expected {}", short(root)),
        None => "no expected root for these items".to_owned(),
    };
    say!("{} root {} ({expected})", report.profile, report.root);
}
