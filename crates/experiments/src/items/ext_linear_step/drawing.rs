//! The figure.

use super::{Columns, ITEM, LOSS, STEP, Settings};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;

pub(super) fn figure(settings: &Settings, table: &Table) -> anyhow::Result<Figure> {
    let x = table.numbers("n_demos")?;
    let panel = |title: &str, label: &str, of: Columns| -> anyhow::Result<Panel> {
        let mean = table.floats(of.mean)?;
        let line =
            Series::line("linear attention", Style::of("linear attention")?, x.clone(), mean);
        Ok(Panel::Lines(LinePanel {
            title: title.into(),
            x: Axis::linear("demonstrations N"),
            y: Axis::linear(label),
            series: vec![
                line.with_band(table.floats(of.lower)?, table.floats(of.upper)?),
                Series::line("closed form", Style::THEORY, x.clone(), table.floats(of.closed)?),
            ],
        }))
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 135.0,
        panels: vec![
            panel("learned step", "step size", STEP)?,
            panel("loss", "loss / E[y²]", LOSS)?,
        ],
        caption: format!(
            "One layer of linear attention trained on regression with normal inputs, d = {}: the \
             step of the gradient step that it is closest to, and its loss; mean and 95 % interval over {} \
             seeds, and the closed forms N/(N + d + 1) and (d + 1)/(N + d + 1).",
            settings.d, settings.seeds
        ),
    })
}
