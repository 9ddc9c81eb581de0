//! The figure.

use super::ITEM;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_numerics::largest;

pub(super) fn figure(table: &Table) -> anyhow::Result<Figure> {
    let (dtypes, masks) = (table.texts("dtype")?, table.texts("mask")?);
    let n = table.numbers("n_demos")?;
    let panel = |title: &str, column: &str| -> anyhow::Result<Panel> {
        let values = table.floats(column)?;
        let mut series = Vec::new();
        let mut names: Vec<(String, String)> = Vec::new();
        for pair in dtypes.iter().cloned().zip(masks.iter().cloned()) {
            if !names.contains(&pair) {
                names.push(pair);
            }
        }
        for (dtype, mask) in &names {
            let rows: Vec<usize> =
                (0..values.len()).filter(|r| dtypes[*r] == *dtype && masks[*r] == *mask).collect();
            let pick = |x: &[f64]| rows.iter().map(|r| x[*r]).collect::<Vec<f64>>();
            let label = format!("{dtype} {mask}");
            // a logarithmic axis has no zero: N + 1 tokens are seen at least
            let x = pick(&n).iter().map(|n| n + 1.0).collect();
            let y = pick(&values).iter().map(|y| largest::at_least(*y, 1e-18)).collect();
            series.push(Series::line(&label, Style::of(&label)?, x, y));
        }
        let (x, y) = (Axis::log("demonstrations + 1"), Axis::log("largest relative difference"));
        Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    let count: i64 = table.integers("configurations")?.iter().sum();
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 140.0,
        panels: vec![
            panel("a dual for every query", "per_query_dual")?,
            panel("one dual for all queries", "shared_dual")?,
        ],
        caption: format!(
            "Largest difference between softmax attention and the dual, relative to the \
             largest output, over {count} random layers (all queries, one to three heads, logits up to \
             about 80), by precision and mask. No seeds are averaged: each point is a maximum."
        ),
    })
}
