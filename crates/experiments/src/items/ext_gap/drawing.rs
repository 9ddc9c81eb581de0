//! The figure.

use super::{ITEM, Settings};
use anyhow::Context as _;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_numerics::largest;

pub(super) fn figure(
    settings: &Settings,
    table: &Table,
    results: &[&Table],
) -> anyhow::Result<Figure> {
    let draws = settings.draws;
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 130.0,
        panels: results.iter().copied().map(panel).collect::<anyhow::Result<_>>()?,
        caption: format!(
            "Uniform gap between the dual's loss over N demonstrations and over the population, for all W \
             of norm at most 1 (exact supremum by the kernel trick; values are the label's coordinate): its root mean \
             square over {draws} draws of demonstrations or more, the theory of that, which is an identity for \
             independent draws, and the Rademacher-type bound on its mean. Standard errors, in gap.csv, are below the \
             markers' size. What the bound needs besides to hold for one draw with probability {:.2} is not shown: by \
             gap.csv the gap's own quantile reaches {:.0} to {:.0} % of it.",
            1.0 - settings.delta,
            100.0 * largest::least(table.floats("quantile_share")?),
            100.0 * largest::value(table.floats("quantile_share")?)
        ),
    })
}

fn panel(table: &Table) -> anyhow::Result<Panel> {
    let x = table.numbers("n_demos")?;
    let line = |label: &str, style: Style, column: &str| -> anyhow::Result<Series> {
        Ok(Series::line(label, style, x.clone(), table.floats(column)?))
    };
    let name = |column: &str| -> anyhow::Result<String> {
        table.texts(column)?.into_iter().next().context("an empty table of gaps")
    };
    Ok(Panel::Lines(LinePanel {
        title: format!("{} kernel, {} weights", name("kernel")?, name("weights")?),
        x: Axis::log("demonstrations N"),
        y: Axis::log("uniform gap"),
        series: vec![
            line("root mean square", Style::of("exact dual")?, "rms_gap")?,
            line("theory", Style::THEORY, "theory_rms")?,
            line("bound", Style::of("bound")?.unmarked(), "bound")?,
        ],
    }))
}
