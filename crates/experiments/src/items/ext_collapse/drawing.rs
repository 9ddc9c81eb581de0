//! The figure.

use super::{ITEM, MEASURES, Settings, curve};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::interval;
use artifact::table::Table;

pub(super) fn figure(settings: &Settings, runs: &Table) -> anyhow::Result<Figure> {
    let line = |i: usize, kind: &str, column: &str| -> anyhow::Result<Series> {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for sample in curve(settings, runs, kind, column)? {
            let mean = interval::mean(&sample)?;
            let row = [mean.mean, mean.lower, mean.upper];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
        let [mean, lower, upper] = columns;
        let label = kind.replace(':', " ").replace("={}", "").replace(',', " ");
        let x = settings.strengths.clone();
        Ok(Series::line(&label, Style::series(i), x, mean).with_band(lower, upper))
    };
    let panel = |title: &str, y: &str, column: &str| -> anyhow::Result<Panel> {
        let kinds = settings.kinds.iter().enumerate();
        let series = kinds.map(|(i, kind)| line(i, kind, column)).collect::<Result<_, _>>()?;
        let (x, y) = (Axis::linear("strength α or β"), Axis::linear(y));
        Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 200.0,
        panels: vec![
            panel("effective rank", "tr(C)² / tr(C²)", MEASURES[0])?,
            panel("loss", "2 · loss / E[s²]", MEASURES[3])?,
            panel("alignment", "E |u(p) − u(s)|²", MEASURES[1])?,
            panel("uniformity", "ln E exp(−2 |u(p) − u(p′)|²)", MEASURES[2])?,
        ],
        caption: format!(
            "ext-collapse. What one trained head predicts for {} prompts of the linear task with {} targets, against \
             the strength of a modification: effective rank of the predictions' covariance, loss, alignment with the \
             targets (0 is best) and uniformity on the sphere (low is spread). Mean and 95 % interval over {} \
             seeds; the word of every strength against plain is in comparisons.csv.",
            settings.prompts, settings.d_s, settings.seeds
        ),
    })
}
