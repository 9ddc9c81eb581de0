//! Drawing of the item.

use super::function_class::FunctionClass;
use super::prompts::{Prompts, Strategy};
use super::{ITEM, MODEL, Settings, losses};
use crate::named::Named as _;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::interval;
use artifact::table::Table;

/// Every class by the number of demonstrations, and the linear one by the strategy.
pub(super) fn figure(settings: &Settings, table: &Table) -> anyhow::Result<Figure> {
    let predictors = settings.predictors();
    let names: Vec<&str> = [MODEL].into_iter().chain(predictors.map(|p| p.0)).collect();
    let line = |name: &str, points: &[Prompts]| -> anyhow::Result<Series> {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for prompts in points {
            let interval = interval::mean(&losses(table, name, *prompts)?)?;
            let row = [interval.mean, interval.lower, interval.upper];
            columns.iter_mut().zip(row).for_each(|(c, x)| c.push(x));
        }
        let [mean, lower, upper] = columns;
        // numbers of demonstrations make a curve, strategies stand beside each other
        let by_number = points.iter().all(|prompts| prompts.strategy == Strategy::Standard);
        let series = if by_number {
            let x = points.iter().map(|prompts| prompts.n_demos as f64).collect();
            Series::line(name, Style::of(name)?, x, mean)
        } else {
            let x = (1..=points.len()).map(|k| k as f64).collect();
            Series::points(name, Style::of(name)?, x, mean)
        };
        Ok(series.with_band(lower, upper))
    };
    let panel = |title: &str, x: Axis, points: &[Prompts]| {
        let series = names.iter().map(|name| line(name, points));
        let series = series.collect::<anyhow::Result<_>>()?;
        let y = Axis::log("loss / E[y²]").from_to(1e-3, 1e2);
        anyhow::Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    let mut panels = Vec::new();
    for class in FunctionClass::ALL {
        let points: Vec<Prompts> = settings.by_number(*class).collect();
        panels.push(panel(class.name(), Axis::linear("demonstrations N"), &points)?);
    }
    let points: Vec<Prompts> = settings.by_strategy(FunctionClass::Linear).collect();
    let places = (1..=points.len()).map(|k| k.to_string()).collect();
    panels.push(panel("linear, other prompts", Axis::places("prompt strategy", places), &points)?);
    let strategies = Strategy::ALL.iter().zip(1..);
    let named: Vec<String> = strategies.map(|(s, i)| format!("{i} {}", s.name())).collect();
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 138.0,
        panels,
        caption: format!(
            "A Transformer of {} layers ({} heads, {} hidden units, residual paths) trained on \
             prompts of 1 to {} demonstrations, d = {}, beside predictors without training; mean and 95 % \
             band over {} seeds. Last panel: prompts unlike those of training, N = {}: {}. Open triangles stand for values below \
             0.001 and above 100.",
            settings.layers,
            settings.n_heads,
            settings.hidden,
            settings.n_demos,
            settings.d,
            settings.seeds,
            settings.n_demos,
            named.join(", ")
        ),
    })
}
