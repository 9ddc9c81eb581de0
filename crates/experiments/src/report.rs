//! Printing of verification reports.

use crate::console::{Tone, note, say, toned};
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
        let word = toned(output.level.word(), tone(output.level));
        say!("{word}: {}: {}", path.display(), output.detail());
    }
}

/// Prints a folder's report: one line per item, the differences, the root.
pub(crate) fn print_report(dir: &Path, report: &Report, counts: &BTreeMap<&str, (usize, usize)>) {
    say!("{:<30} {:>9} {:<10} {:>8} {:>8}", "item", "new+kept", "level", "claims", "asked");
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
        let word = toned(&format!("{:<10}", level.word()), tone(level));
        say!("{name:<30} {cells:>9} {word} {:>8} {:>8}", tally(true), tally(false));
    }
    print_findings(dir, &report.outputs);
    if !report.absent.is_empty() {
        say!("not run, and so not reproduced: {}", report.absent.join(", "));
    }
    report.notes.iter().for_each(|text| note!("note: {text}"));
    for claim in report.claims.iter().filter(|claim| claim.breaks()) {
        let Claim { id, statement, value, bound, .. } = claim;
        let word = toned(claim.judge().word(), Tone::Bad);
        say!("claim {word}: {id}: {statement}: value {value}, bound {bound}");
    }
    let expected = match &report.expected_root {
        Some(root) if *root == report.root => "as expected".to_owned(),
        Some(root) => format!("expected {}", short(root)),
        None => "no expected root for these items".to_owned(),
    };
    say!("{} root {} ({expected})", report.profile, report.root);
}

fn tone(level: Level) -> Tone {
    match level {
        Level::Bits | Level::Tolerance => Tone::Good,
        level if level.passes() => Tone::Open,
        _ => Tone::Bad,
    }
}

/// Prints what a folder's report comes to, in words, and what to do next.
pub(crate) fn print_summary(dir: &Path, report: &Report, next: &str) {
    let expected: Vec<&Claim> = report.claims.iter().filter(|claim| claim.expected).collect();
    let met = expected.iter().filter(|claim| !claim.breaks()).count();
    let passing = report.outputs.iter().filter(|output| output.level.passes()).count();
    let same = report.expected_root.as_ref() == Some(&report.root);
    let (word, tone) = match (report.passes(), same) {
        (true, true) => ("reproduced, bit for bit", Tone::Good),
        (true, false) => ("intact; not all of it has an expected output", Tone::Open),
        (false, _) => ("not reproduced", Tone::Bad),
    };
    say!(
        "{}: {}: {passing} of {} outputs pass, {met} of {} expected claims hold",
        report.profile,
        toned(word, tone),
        report.outputs.len(),
        expected.len()
    );
    say!("figures: {}", dir.join("figures").display());
    say!("next: {next}");
}
