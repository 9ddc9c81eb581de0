//! The figure.

use super::{ITEM, Settings};
use crate::named::Named as _;
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
    let percent = 100.0 * (1.0 - settings.delta);
    let mut mean = panel("mean over its bound", "gap / bound", [0.3, 0.52]);
    let mut single = panel(
        &format!("{percent:.0} % quantile over the bound of one draw"),
        "gap / (bound + deviation)",
        [0.0, 0.25],
    );
    for result in results {
        let (name, style) = look(settings, result)?;
        let x = result.numbers("n_demos")?;
        let bound = result.floats("bound")?;
        let over_bound = |column: &str| -> anyhow::Result<Vec<f64>> {
            let values = result.floats(column)?;
            Ok(values.iter().zip(&bound).map(|(value, bound)| value / bound).collect())
        };
        let first = mean.series.is_empty();
        let theory = if first { "root mean square, theory" } else { "" };
        let line = |label: &str, style, y| Series::line(label, style, x.clone(), y);
        mean.series.push(line(theory, Style::THEORY, over_bound("theory_rms")?));
        mean.series.push(line(&name, style, over_bound("mean_gap")?));
        let (low, high) =
            (result.floats("quantile_share_lower")?, result.floats("quantile_share_upper")?);
        let share = line("", style, result.floats("quantile_share")?);
        single.series.push(share.with_band(low, high));
    }
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 150.0,
        panels: vec![Panel::Lines(mean), Panel::Lines(single)],
        caption: format!(
            "Uniform gap between the dual's loss over N demonstrations and over the population, for all W \
             of norm at most 1 (exact supremum by the kernel trick; values are the label's coordinate), over bounds that \
             fall as 1/√N themselves: what is level falls as fast. Left: the mean over {draws} draws or more, against the \
             Rademacher-type bound on it; the root mean square follows its closed form (black, an identity for independent \
             draws), and the mean lies below it while single draws are heavy-tailed. Right: the gap that {percent:.0} % of \
             draws stay below, with its interval, against the bound with the deviation that makes it hold for one draw \
             with that probability: {:.0} to {:.0} % of it. Gaps themselves are in gap.csv.",
            100.0 * largest::least(table.floats("quantile_share")?),
            100.0 * largest::value(table.floats("quantile_share")?)
        ),
    })
}

fn panel(title: &str, y: &str, [low, high]: [f64; 2]) -> LinePanel {
    LinePanel {
        title: title.into(),
        x: Axis::log("demonstrations N"),
        y: Axis::linear(y).from_to(low, high),
        series: Vec::new(),
    }
}

/// Name and look of one population: a hue for its kernel, dashes for trained weights.
fn look(settings: &Settings, result: &Table) -> anyhow::Result<(String, Style)> {
    let name = |column: &str| -> anyhow::Result<String> {
        result.texts(column)?.into_iter().next().context("an empty table of gaps")
    };
    let (kernel, weights) = (name("kernel")?, name("weights")?);
    let hue = settings.kernels.iter().position(|known| known.name() == kernel);
    let origin = settings.weights.iter().position(|known| known.name() == weights);
    let style = Style::nth(hue.unwrap_or(0))?.variant(origin.unwrap_or(0));
    Ok((format!("{kernel}, {weights}"), style))
}
