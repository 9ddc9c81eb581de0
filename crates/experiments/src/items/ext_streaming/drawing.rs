//! The figure.

use super::ITEM;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_numerics::largest;

pub(super) fn figure(table: &Table) -> anyhow::Result<Figure> {
    let x = table.numbers("n_tokens")?;
    let line = |label: &str, column: &str| -> anyhow::Result<Series> {
        // a logarithmic axis has no zero
        let y = table.numbers(column)?.into_iter().map(|y| largest::at_least(y, 1e-18)).collect();
        Ok(Series::line(label, Style::of(label)?, x.clone(), y))
    };
    let panel = |title: &str, label: &str, columns: [&str; 2]| -> anyhow::Result<Panel> {
        Ok(Panel::Lines(LinePanel {
            title: title.into(),
            x: Axis::log("tokens"),
            y: Axis::log(label),
            series: vec![line("exact dual", columns[0])?, line("feature dual", columns[1])?],
        }))
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 138.0,
        panels: vec![
            panel("equality", "largest relative difference", ["exact", "features"])?,
            panel("state", "bytes", ["exact_bytes", "feature_bytes"])?,
        ],
        caption: "Left: largest difference between causal attention and the dual that is updated \
                  token by token, over all tokens, relative to the largest output; softmax attention for the exact \
                  dual, feature attention with the same features for the feature dual. Right: size of the dual's \
                  state after the last token. One random layer for each length, two heads. Times are in the \
                  criterion bench `cost`."
            .into(),
    })
}
