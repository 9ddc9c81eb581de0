//! The figure.

use super::{ITEM, MUTANTS};
use artifact::figure::{Figure, HeatPanel, Panel, WordPanel};
use artifact::table::Table;

pub(super) fn figure(table: &Table) -> anyhow::Result<Figure> {
    let checks = table.texts("check")?;
    let count = checks.len() / MUTANTS.len();
    let entries = table.floats("passes")?;
    // certain ones as signs, shares as percentages
    let words: Vec<String> = entries
        .iter()
        .map(|share| match *share {
            1.0 => "●".to_owned(),
            0.0 => "○".to_owned(),
            share => format!("{:.0} %", 100.0 * share),
        })
        .collect();
    let heat = HeatPanel {
        title: "share of redraws in which a mutant passes".into(),
        x_label: "the first three checks are ours, the others published tolerances".into(),
        y_label: String::new(),
        columns: count,
        range: [0.0, 1.0],
        names: [
            MUTANTS
                .iter()
                .map(|mutant| {
                    if mutant.name() == "none" { "unchanged" } else { mutant.name() }.to_owned()
                })
                .collect(),
            checks[..count].to_vec(),
        ],
        entries,
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: 52.0 + 11.0 * MUTANTS.len() as f64,
        panels: vec![Panel::Words(WordPanel { heat, words })],
        caption: "Mutants of the dual (rows) against our checks and against tolerances of published tests of attention by \
                  random features, on those tests' own sizes with new draws: the share that passes (● all, ○ none). A mutant \
                  is killed if it fails any of our checks; mean and variance of the kernel cannot see what happens to \
                  tokens. Published tests that the unchanged positive features do not pass are left out. Mutants of \
                  modified losses, of the activation pattern and of the step curve are in identities.csv."
            .into(),
    })
}
