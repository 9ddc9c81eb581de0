//! The figure.

use super::{ITEM, MUTANTS};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::table::Table;

pub(super) fn figure(table: &Table) -> anyhow::Result<Figure> {
    let checks = table.texts("check")?;
    let count = checks.len() / MUTANTS.len();
    let panel = HeatPanel {
        title: "share of redraws in which a mutant passes a check".into(),
        x_label: "the first three checks are ours, the others are published tolerances".into(),
        y_label: String::new(),
        columns: count,
        entries: table.floats("passes")?,
        range: [0.0, 1.0],
        names: [
            MUTANTS.iter().map(|mutant| mutant.name().to_owned()).collect(),
            checks[..count].to_vec(),
        ],
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        panel_height: 270.0,
        panels: vec![Panel::Heat(panel)],
        caption: "ext-mutants. Mutants of the dual (rows; `none` is the unchanged dual) against our checks and \
                  against tolerances of published tests of attention by random features, on those tests' own \
                  sizes with new draws: the share that passes. A mutant is killed if it fails any of our checks; `equality` \
                  alone kills all of them, and mean and variance of the kernel cannot see what happens to tokens. \
                  Published tests that the unchanged positive features do not pass are left out. Mutants of modified \
                  losses, of the activation pattern and of the step curve are in identities.csv."
            .into(),
    })
}
