//! The figure: loss against depth.

use super::{ITEM, Settings, inputs_name, tables};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;

pub(super) fn figure(settings: &Settings, runs: &Table, depth: &Table) -> anyhow::Result<Figure> {
    let deepest = settings.layers.iter().flatten().copied().max().unwrap_or(1);
    let panels =
        settings.inputs().map(|(scales, layers)| panel(scales, layers, deepest, runs, depth));
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 140.0,
        panels: panels.collect::<anyhow::Result<_>>()?,
        caption: format!(
            "Expected squared error (E y² = {}) of layers of linear attention trained on linear \
             regression, d = {}, N = {}, one point for each of {} seeds and their mean, against as many steps of: \
             gradient descent with the best step size; preconditioned descent (whitened inputs, the best size of every \
             step); GD++ (inputs shrunk between steps as well, the best constants). All on the same demonstrations. Two layers end at one of two optima of GD++'s constants. Left: \
             inputs of unit variance. Right: entries of the inputs with standard deviations {}.",
            settings.d(),
            settings.d(),
            settings.n_demos,
            settings.seeds,
            settings.scales.last().map_or_else(String::new, |scales| inputs_name(scales)),
        ),
    })
}

fn panel(
    scales: &[f64],
    layers: &[usize],
    deepest: usize,
    runs: &Table,
    depth: &Table,
) -> anyhow::Result<Panel> {
    let inputs = depth.texts("inputs")?;
    let own = |column: Vec<f64>| -> Vec<f64> {
        let rows = inputs.iter().zip(column).filter(|(name, _)| **name == inputs_name(scales));
        rows.map(|(_, x)| x).collect()
    };
    let x = own(depth.numbers("layers")?);
    let line = |label: &str, style: Style, column: &str| -> anyhow::Result<Series> {
        Ok(Series::line(label, style, x.clone(), own(depth.floats(column)?)))
    };
    let (mut at, mut losses) = (Vec::new(), Vec::new());
    for count in layers {
        let column = tables::column(runs, scales, *count, "loss")?;
        at.extend(vec![*count as f64; column.len()]);
        losses.extend(column);
    }
    let unit = scales.iter().all(|scale| *scale == 1.0);
    Ok(Panel::Lines(LinePanel {
        title: if unit { "inputs of unit variance" } else { "inputs of unequal variance" }.into(),
        x: Axis::linear("layers, steps").from_to(0.0, deepest as f64 + 1.0),
        y: Axis::log("E (prediction - y)²"),
        series: vec![
            line("gradient descent", Style::of("gradient descent")?, "descent")?,
            line("preconditioned descent", Style::of("preconditioned descent")?, "preconditioned")?,
            line("GD++", Style::THEORY, "plus_plus")?,
            line("linear attention", Style::of("linear attention")?.unmarked(), "loss")?,
            Series::points("", Style::of("linear attention")?, at, losses),
        ],
    }))
}
