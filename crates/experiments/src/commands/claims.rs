//! CLAIMS.md and its summary: every claim of the expected outputs at profile paper, verdict first.

use super::expected::{expected_claims, interval, number};
use crate::registry;
use crate::workspace::Workspace;
use artifact::claim::{Claim, Side};
use artifact::statistics::comparison::Evidence;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Every claim, a table for every item.
pub(super) fn all(workspace: &Workspace) -> anyhow::Result<String> {
    let mut out = String::new();
    for item in registry::built_in() {
        let claims = expected_claims(workspace, item.id)?;
        if claims.is_empty() {
            continue;
        }
        writeln!(out, "## {}\n\n{}.\n", item.id, item.claim)?;
        out.push_str("| verdict | claim | statement | value | interval | bound |\n|---|---|---|---|---|---|\n");
        for claim in &claims {
            let tested = if claim.expected || claim.comparison.is_some() { "" } else { " (asked)" };
            let name = claim.id.strip_prefix(item.id).unwrap_or(&claim.id).trim_start_matches('/');
            writeln!(
                out,
                "| {}{tested} | `{name}` | {} | {} | {} | {} |",
                claim.verdict.word(),
                claim.statement.replace('|', "\\|"),
                number(claim.value),
                interval(claim),
                bound(claim)
            )?;
        }
        out.push('\n');
    }
    Ok(out)
}

fn bound(claim: &Claim) -> String {
    let sign = match claim.side {
        Side::AtMost => "≤",
        Side::AtLeast => "≥",
    };
    match claim.comparison {
        None => format!("{sign} {}", number(claim.bound)),
        Some(Evidence { n, p_difference, p_equivalence }) => format!(
            "{n} pairs, p {}, of equivalence {}",
            number(p_difference),
            number(p_equivalence)
        ),
    }
}

/// How many claims of each kind ended with which word.
pub(super) fn summary(workspace: &Workspace) -> anyhow::Result<String> {
    let kinds = ["expected to hold", "comparisons with plain", "asked, not expected"];
    let mut counts: [BTreeMap<&str, usize>; 3] = Default::default();
    let mut unmet = Vec::new();
    for item in registry::built_in() {
        for claim in expected_claims(workspace, item.id)? {
            let kind = match (claim.expected, claim.comparison.is_some()) {
                (true, _) => 0,
                (false, true) => 1,
                (false, false) => 2,
            };
            *counts[kind].entry(claim.verdict.word()).or_default() += 1;
            if claim.expected && !claim.verdict.is_met() {
                unmet.push(format!("`{}` ({})", claim.id, claim.verdict.word()));
            }
        }
    }
    let mut out = String::from("| claims | how many | verdicts |\n|---|---|---|\n");
    for (kind, counts) in kinds.into_iter().zip(&counts) {
        let words: Vec<String> = counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
        writeln!(out, "| {kind} | {} | {} |", counts.values().sum::<usize>(), words.join(", "))?;
    }
    if !unmet.is_empty() {
        writeln!(out, "\nExpected and not met: {}.", unmet.join(", "))?;
    }
    Ok(out)
}
