//! The figure.

use super::{ITEM, MEASURES, Settings, curve};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::interval;
use artifact::table::Table;

pub(super) fn figure(settings: &Settings, runs: &Table) -> anyhow::Result<Figure> {
    let line = |kind: &str, column: &str| -> anyhow::Result<Series> {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for sample in curve(settings, runs, kind, column)? {
            let mean = interval::mean(&sample)?;
            let row = [mean.mean, mean.lower, mean.upper];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
        let [mean, lower, upper] = columns;
        let label = kind.replace(':', " ").replace("={}", "").replace(',', " ");
        let x = settings.strengths.clone();
        Ok(Series::line(&label, style(settings, kind)?, x, mean).with_band(lower, upper))
    };
    let panel = |title: &str, y: &str, column: &str| -> anyhow::Result<Panel> {
        let kinds = settings.kinds.iter();
        let series = kinds.map(|kind| line(kind, column)).collect::<Result<_, _>>()?;
        let y = match column {
            // what has collapsed has rank one
            "effective_rank" => Axis::linear(y).from_to(1.0, 1.02 * settings.d_s as f64),
            _ => Axis::linear(y),
        };
        let x = Axis::linear("strength α or β");
        Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 130.0,
        panels: vec![
            panel("effective rank", "tr(C)² / tr(C²)", MEASURES[0])?,
            panel("loss", "2 · loss / E[s²]", MEASURES[3])?,
            panel("alignment", "E |u(p) − u(s)|²", MEASURES[1])?,
            panel("uniformity", "ln E exp(−2 |u(p) − u(p′)|²)", MEASURES[2])?,
        ],
        caption: format!(
            "What one trained head predicts for {} prompts of the linear task with {} targets, against \
             the strength of a modification: effective rank of the predictions' covariance, loss, alignment with the \
             targets (0 is best) and uniformity on the sphere (low is spread). Mean and 95 % interval over {} \
             seeds; the word of every strength against plain is in comparisons.csv.",
            settings.prompts, settings.d_s, settings.seeds
        ),
    })
}

/// The look of a kind: several of the same modification differ by their dashes.
fn style(settings: &Settings, kind: &str) -> anyhow::Result<Style> {
    let own = |kind: &str| kind.split(':').next().unwrap_or_default().to_owned();
    let before = settings.kinds.iter().take_while(|other| *other != kind);
    Ok(Style::of(&own(kind))?.variant(before.filter(|other| own(other) == own(kind)).count()))
}
