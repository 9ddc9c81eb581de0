//! The figure.

use super::ITEM;
use super::claims::{CHECKS, Check};
use artifact::figure::{Axis, DotPanel, DotRow, Figure, Panel, Style, plain_number};
use artifact::table::Table;

/// Errors at the ends of the axis: half a unit in the last place of a `f64` is near the left one.
const SHOWN: [f64; 2] = [1e-17, 1e-5];

pub(super) fn figure(prompts: &[&Table]) -> anyhow::Result<Figure> {
    let mut parted = false;
    let mut row = |check: &Check| -> anyhow::Result<DotRow> {
        // differences first, then what is exact but for rounding
        let exact = check.tolerance < 1e-8;
        let first = exact && !std::mem::replace(&mut parted, exact);
        Ok(DotRow {
            label: check.label.into(),
            style: Style::of(if exact { "exact dual" } else { "feature dual" })?,
            values: check.errors(prompts)?,
            interval: None,
            bound: Some(check.tolerance),
            note: format!("≤ {}", plain_number(check.tolerance).trim_start_matches("1.0 × ")),
            parted: first,
        })
    };
    let panel = DotPanel {
        title: "errors of single prompts, and the largest that a check allows".into(),
        x: Axis::log("relative error").from_to(SHOWN[0], SHOWN[1]),
        rows: CHECKS.iter().map(&mut row).collect::<anyhow::Result<_>>()?,
        rules: vec![],
        margins: [128.0, 30.0],
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: 156.0,
        panels: vec![Panel::Dots(panel)],
        caption: format!(
            "One mark for each of {} random prompts: how far a step of the dual is from the gradient of its stated \
             loss by central differences (above), and how far the loss is from being linear, the steps from commuting \
             and an epoch's decrease of the loss from that of the first (below: rounding alone, so the loss falls on a \
             straight line without end). Bar: the largest error that the check allows. Diamonds at the left: errors \
             below the axis, most of them 0.",
            prompts.len()
        ),
    })
}
