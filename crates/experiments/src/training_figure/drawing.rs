//! Drawing of a figure from its tables.

use super::settings::{PLAIN, PanelSettings, Settings, Transformer};
use crate::cells::equivalence;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_model::task;
use icl_numerics::largest;

/// Rows of `table` where `column` is `value`.
fn rows(table: &Table, column: &str, value: &str) -> anyhow::Result<Vec<usize>> {
    let texts = table.texts(column)?;
    Ok((0..texts.len()).filter(|i| texts[*i] == value).collect())
}

fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|i| values[*i]).collect()
}

pub(super) fn figure(
    id: &str,
    settings: &Settings,
    equivalence: &Table,
    bands: &Table,
) -> anyhow::Result<Figure> {
    let mut panels = vec![Panel::Lines(equivalence_panel(equivalence)?)];
    for panel in &settings.panels {
        panels.push(Panel::Lines(loss_panel(panel, bands)?));
    }
    let caption = caption(id, settings)?;
    Ok(Figure { id: id.to_owned(), columns: 2, panel_height: 210.0, panels, caption })
}

fn caption(id: &str, settings: &Settings) -> anyhow::Result<String> {
    let task = task::find(&settings.task)?;
    let features =
        format!(" ({} for features, d_r = {})", settings.dual_feature_orders, settings.dual_d_r);
    let (model, output, features) = match settings.transformer {
        None => (String::new(), "attention's output", features),
        Some(Transformer { layers, hidden, residual }) => {
            let paths = if residual { "with" } else { "without" };
            let model = format!(
                " {layers} Transformer layer(s) {paths} residual paths, {hidden} hidden units."
            );
            (model, "the last layer's output for the query", String::new())
        }
    };
    Ok(format!(
        "{id}. Task {} ({}), d_t = {}, d_s = {}, N = {}, {} head(s).{model} Upper left: distance of the dual's \
         prediction from {output} along its gradient steps, root mean square over {} held-out prompts and {} random \
         orders{features} with the band that holds 95 % of them; dashed: the closed form. Others: test loss of the modifications \
         against plain; mean and 95 % bootstrap band over {} seeds.",
        task.id(),
        task.equation(),
        settings.d_t,
        settings.d_s,
        settings.n_demos,
        settings.n_heads,
        settings.dual_prompts,
        settings.dual_orders,
        settings.seeds
    ))
}

fn equivalence_panel(table: &Table) -> anyhow::Result<LinePanel> {
    let steps = table.numbers("step")?;
    let (lower, upper) = (table.floats("lower")?, table.floats("upper")?);
    let root = |column: &str| -> anyhow::Result<Vec<f64>> {
        Ok(table.floats(column)?.iter().map(|x| largest::at_least(*x, 0.0).sqrt()).collect())
    };
    let (measured, closed) = (root("mean_square")?, root("closed_form")?);
    let mut series = Vec::new();
    let shown =
        [(equivalence::EXACT, "exact dual"), (equivalence::FEATURES_SOFTMAX, "feature dual")];
    for (i, (name, label)) in shown.into_iter().enumerate() {
        let rows = rows(table, "dual", name)?;
        if rows.is_empty() {
            continue;
        }
        let line = Series::line(
            label,
            Style::series(i).solid(),
            pick(&steps, &rows),
            pick(&measured, &rows),
        );
        series.push(line.with_band(pick(&lower, &rows), pick(&upper, &rows)));
    }
    let exact = rows(table, "dual", equivalence::EXACT)?;
    let label = "closed form";
    series.push(Series::line(label, Style::THEORY, pick(&steps, &exact), pick(&closed, &exact)));
    Ok(LinePanel {
        title: "equivalence".into(),
        x: Axis::linear("gradient step of the dual"),
        y: Axis::linear("‖f(q) − h′‖ (rms)"),
        series,
    })
}

fn loss_panel(panel: &PanelSettings, table: &Table) -> anyhow::Result<LinePanel> {
    let steps = table.numbers("step")?;
    let (mean, lower, upper) =
        (table.floats("mean")?, table.floats("lower")?, table.floats("upper")?);
    let panels = table.texts("panel")?;
    let draw = |owner: &str, name: &str, style: Style| -> anyhow::Result<Series> {
        let mut rows = rows(table, "setting", name)?;
        rows.retain(|i| panels[*i] == owner);
        let line = Series::line(&short(name), style, pick(&steps, &rows), pick(&mean, &rows));
        Ok(line.with_band(pick(&lower, &rows), pick(&upper, &rows)))
    };
    let mut series = vec![draw(PLAIN, PLAIN, Style::REFERENCE)?];
    for (i, name) in panel.modifications.iter().enumerate() {
        series.push(draw(&panel.title, name, Style::series(i))?);
    }
    Ok(LinePanel {
        title: panel.title.clone(),
        x: Axis::linear("training step"),
        y: Axis::linear("2 · test loss / E[s²]"),
        series,
    })
}

/// A setting without its modification's name: `alpha=0.1` becomes `α=0.1`.
fn short(name: &str) -> String {
    let options = name.split_once(':').map_or(name, |(_, options)| options);
    let plain = options.replace("alpha", "α").replace("beta", "β").replace(',', " ");
    plain.replace("form=", "").replace("on=", "").replace("hidden=", "h=")
}
