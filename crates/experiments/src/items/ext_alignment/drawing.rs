//! The figure.

use super::shift::Shift;
use super::{ITEM, LAYERS, NONE, Selection, Settings, iterated, samples};
use crate::named::Named as _;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::{Interval, interval};
use artifact::table::Table;

/// Means over seeds with their band.
fn line(table: &Table, of: Selection<'_>, name: &str, style: Style) -> anyhow::Result<Series> {
    let mut columns: [Vec<f64>; 4] = Default::default();
    for (x, sample) in samples(table, of)? {
        let Interval { mean, lower, upper, .. } = interval::mean(&sample)?;
        columns.iter_mut().zip([x, mean, lower, upper]).for_each(|(c, x)| c.push(x));
    }
    let [x, mean, lower, upper] = columns;
    Ok(Series::line(name, style, x, mean).with_band(lower, upper))
}

pub(super) fn figure(
    settings: &Settings,
    table: &Table,
    iterated: &Table,
) -> anyhow::Result<Figure> {
    let panel = |title: &str, x: &str, y: Axis, shift: &str, column: &str, with_gd: bool| {
        let mut series = Vec::new();
        for (layer, _, _) in &LAYERS {
            let of = Selection { layer, shift, column };
            series.push(line(table, of, layer, Style::of(layer)?)?);
        }
        if with_gd {
            let of = Selection { layer: LAYERS[0].0, shift, column: "gd_loss" };
            series.push(line(table, of, "GD, 1 step", Style::LEVEL)?);
        }
        let x = Axis::linear(x);
        anyhow::Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    let loss = || Axis::linear("loss / E[y²]");
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 3,
        shares: vec![],
        panel_height: 125.0,
        panels: vec![
            panel("alignment", "training step", Axis::linear("cosine"), NONE, "cosine", false)?,
            panel(
                "sensitivities",
                "training step",
                Axis::linear("distance"),
                NONE,
                "sensitivity_gap",
                false,
            )?,
            panel(
                "predictions",
                "training step",
                Axis::linear("distance"),
                NONE,
                "prediction_gap",
                false,
            )?,
            panel("larger inputs", "input scale", loss(), Shift::Inputs.name(), "loss", true)?,
            panel("larger weights", "weight scale", loss(), Shift::Weights.name(), "loss", true)?,
            panel("random labels", "labels replaced", loss(), Shift::Labels.name(), "loss", true)?,
            applied(iterated, iterated::ITERATED, "applied again", "applications")?,
            applied(iterated, iterated::INTERPOLATED, "interpolated", "share of the step")?,
        ],
        caption: format!(
            "Trained attention over the demonstrations against one gradient step of the optimal \
             size, d = {}, N = {}, normal inputs. Above: cosine and distance of the predictions' derivatives \
             towards the query, and distance of the predictions, during training. Middle: loss on problems unlike \
             those of training. Below: the layer applied again and again to what is left of the labels (dampened by \
             0.75), and its weights moved towards those of the gradient step. Means and 95 % intervals over {} seeds.",
            settings.d, settings.n_demos, settings.seeds
        ),
    })
}

/// The layer's and gradient descent's median loss.
fn applied(iterated: &Table, comparison: &str, title: &str, x: &str) -> anyhow::Result<Panel> {
    let mut columns: [[Vec<f64>; 4]; 2] = Default::default();
    for (x, samples) in iterated::pairs(iterated, comparison)? {
        for (columns, sample) in columns.iter_mut().zip(&samples) {
            let Interval { mean, lower, upper, .. } = interval::mean(sample)?;
            columns.iter_mut().zip([x, mean, lower, upper]).for_each(|(c, x)| c.push(x));
        }
    }
    let [[x_ours, ours, lower, upper], [x_theirs, theirs, ..]] = columns;
    let series = vec![
        Series::line("linear attention", Style::of("linear attention")?, x_ours, ours)
            .with_band(lower, upper),
        Series::line("gradient descent", Style::LEVEL, x_theirs, theirs),
    ];
    let (x, y) = (Axis::linear(x), Axis::linear("median loss / E[y²]"));
    Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
}
