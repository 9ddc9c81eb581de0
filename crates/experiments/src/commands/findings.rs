//! README: what a reader should take home, each with its claim's value and interval.

use super::expected::{expected_claims, interval, number};
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::fmt::Write as _;

/// A finding: the claim that it rests on, and its sentence.
pub(super) struct Finding {
    pub(super) claim: &'static str,
    pub(super) sentence: &'static str,
    /// What the value is.
    pub(super) quantity: &'static str,
}

pub(super) const FINDINGS: [Finding; 5] = [
    Finding {
        claim: "fig3-linear/exact-end",
        sentence: "Attention's output for the query **is** the prediction of a dual model after one gradient step on the \
                   demonstrations.",
        quantity: "largest distance on held-out prompts, relative to the output",
    },
    Finding {
        claim: "ext-branches/sign",
        sentence: "One softmax head on linear regression has two optima; the sign of **one initial weight** decides which is \
                   found.",
        quantity: "share of random starts whose optimum that sign predicts",
    },
    Finding {
        claim: "fig3-linear/floor",
        sentence: "A trained head does as well as the best weights of the family that theory describes: it ends at their floor.",
        quantity: "loss over the floor on the same prompts",
    },
    Finding {
        claim: "fig3-linear/negative:m=7,beta=0.5",
        sentence: "Negatives lower the loss of the linear task; regularised attention cannot with a masked label, by a theorem \
                   (docs/theory.md, section 14).",
        quantity: "change of loss / Var(s) by negatives (m = 7, beta = 0.5)",
    },
    Finding {
        claim: "ext-bert-dual/f64",
        sentence: "The identity holds in every head of pretrained BERTs on real sentences.",
        quantity: "largest distance over heads, relative to the head's largest output",
    },
];

/// The list, one line a finding.
pub(super) fn findings(workspace: &Workspace) -> anyhow::Result<String> {
    let mut out = String::new();
    for (i, finding) in FINDINGS.iter().enumerate() {
        let Finding { claim, sentence, quantity } = finding;
        let item = claim.split('/').next().unwrap_or_default();
        let claims = expected_claims(workspace, item)?;
        if claims.is_empty() {
            writeln!(out, "{}. {sentence} (`{claim}`: not blessed yet)", i + 1)?;
            continue;
        }
        let found = claims.iter().find(|one| one.id == *claim);
        let found = found.with_context(|| format!("findings: found no claim `{claim}`"))?;
        let (value, interval) = (number(found.value), interval(found));
        let word = found.verdict.word();
        writeln!(out, "{}. {sentence} (`{claim}`: {quantity} {value}, {interval}, {word})", i + 1)?;
    }
    Ok(out)
}
