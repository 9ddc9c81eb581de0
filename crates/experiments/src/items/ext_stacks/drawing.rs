//! The figure.

use super::{GROUPS, ITEM, by_depth};
use crate::named::Named as _;
use crate::views::masking::Masking;
use crate::views::precision::Precision;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_numerics::largest;

pub(super) fn figure(table: &Table) -> anyhow::Result<Figure> {
    let curve = |(precision, masking): (Precision, Masking)| {
        let errors = by_depth(table, precision, Some(masking))?;
        let depths = (1..=errors.len()).map(|l| l as f64).collect();
        // a logarithmic axis has no zero
        let errors = errors.into_iter().map(|e| largest::at_least(e, 1e-18)).collect();
        let name = format!("{} {}", precision.name(), masking.name());
        anyhow::Ok(Series::line(&name, Style::of(&name)?, depths, errors))
    };
    let panel = LinePanel {
        title: "error of composed duals".into(),
        x: Axis::linear("depth (layers)"),
        y: Axis::log("largest relative difference"),
        series: GROUPS.into_iter().map(curve).collect::<anyhow::Result<_>>()?,
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 1,
        shares: vec![],
        panel_height: 140.0,
        panels: vec![Panel::Lines(panel)],
        caption: "Largest difference between the stack and its composed duals over all tokens and \
                  seeds, relative to the largest output, after every layer (two heads, feed-forward, residual \
                  paths, LayerNorm). The growth per layer is in growth.csv."
            .into(),
    })
}
