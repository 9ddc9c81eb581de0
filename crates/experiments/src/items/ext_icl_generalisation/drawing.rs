//! The figure: risk against demonstrations, losses and gaps against tasks, the bound against the gap.

use super::{ITEM, Settings};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;

pub(super) fn figure(
    settings: &Settings,
    risk: &Table,
    pools: &Table,
    bound: &Table,
) -> anyhow::Result<Figure> {
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 135.0,
        panels: vec![risk_panel(risk)?, loss_panel(pools)?, gap_panel(pools)?, bound_panel(bound)?],
        caption: format!(
            "One softmax layer on the linear task, d_t = {}; means over {} seeds with 95 % \
             intervals. Top left: loss on fresh tasks against the number of demonstrations, with the floor of one head. Top \
             right: layers trained on a pool of T tasks (N = {}), on tasks of the pool and on fresh ones. Bottom left: the \
             gap between the two, and the loss on fresh tasks beyond that of layers trained without a pool; dashed: a line \
             of slope -1. Bottom right: the dual's linear loss at the weights W_1 that it has after its step: the bound at \
             their norm over the mean absolute gap between the demonstrations and their population.",
            settings.d_t, settings.seeds, settings.pool_demos
        ),
    })
}

/// A mean with its band.
fn banded(table: &Table, label: &str, style: Style, x: &str, name: &str) -> anyhow::Result<Series> {
    let line = Series::line(label, style, table.numbers(x)?, table.floats(name)?);
    let end = |end: &str| table.floats(&format!("{name}_{end}"));
    Ok(line.with_band(end("lower")?, end("upper")?))
}

fn risk_panel(risk: &Table) -> anyhow::Result<Panel> {
    let floor =
        Series::line("floor", Style::THEORY, risk.numbers("n_demos")?, risk.floats("floor")?);
    Ok(Panel::Lines(LinePanel {
        title: "risk against demonstrations".into(),
        x: Axis::log("demonstrations N"),
        y: Axis::log("loss / E[s²]"),
        series: vec![
            banded(risk, "trained layer", Style::of("exact dual")?, "n_demos", "risk")?,
            floor,
        ],
    }))
}

fn loss_panel(pools: &Table) -> anyhow::Result<Panel> {
    let line = |label: &str, style: Style, name: &str| banded(pools, label, style, "pool", name);
    let reference =
        Series::line("no pool", Style::THEORY, pools.numbers("pool")?, pools.floats("reference")?);
    Ok(Panel::Lines(LinePanel {
        title: "losses against training tasks".into(),
        x: Axis::log("tasks T of the pool"),
        y: Axis::linear("loss / E[s²]"),
        series: vec![
            line("fresh tasks", Style::of("negative")?, "fresh")?,
            line("the pool's tasks", Style::of("augmented")?, "within")?,
            reference,
        ],
    }))
}

/// What is above zero of a mean: a logarithmic axis has no other place.
fn positive(table: &Table, label: &str, style: Style, name: &str) -> anyhow::Result<Series> {
    let rows = table.numbers("pool")?.into_iter().zip(table.floats(name)?);
    let (x, y) = rows.filter(|(_, y)| *y > 0.0).unzip();
    Ok(Series::line(label, style, x, y))
}

fn gap_panel(pools: &Table) -> anyhow::Result<Panel> {
    let (sizes, gaps) = (pools.numbers("pool")?, pools.floats("gap")?);
    // through the middle of the gaps
    let middle = sizes.len() / 2;
    let theory = sizes.iter().map(|size| gaps[middle].abs() * sizes[middle] / size).collect();
    Ok(Panel::Lines(LinePanel {
        title: "gaps against training tasks".into(),
        x: Axis::log("tasks T of the pool"),
        y: Axis::log("difference of losses / E[s²]"),
        series: vec![
            positive(pools, "fresh − pool", Style::of("exact dual")?, "gap")?,
            positive(pools, "fresh − no pool", Style::of("combined")?, "regret")?,
            Series::line("slope −1", Style::THEORY, sizes, theory),
        ],
    }))
}

fn bound_panel(bound: &Table) -> anyhow::Result<Panel> {
    let x = bound.numbers("n_demos")?;
    let one = vec![1.0; x.len()];
    Ok(Panel::Lines(LinePanel {
        title: "the bound at the dual's own weights".into(),
        x: Axis::log("demonstrations N"),
        y: Axis::linear("bound / mean |gap|"),
        series: vec![
            banded(bound, "bound over gap", Style::of("exact dual")?, "n_demos", "looseness")?,
            Series::line("the gap itself", Style::THEORY, x, one),
        ],
    }))
}
