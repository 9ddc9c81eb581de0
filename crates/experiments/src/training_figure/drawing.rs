//! Drawing of a figure from its tables.

use super::claims::LEARNED;
use super::settings::{PLAIN, PanelSettings, Settings, Transformer};
use super::tables::mean;
use crate::cells::equivalence;
use crate::cells::references::References;
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use icl_model::task;
use icl_numerics::largest::{self, least};

/// Rows of `table` where `column` is `value`.
fn rows(table: &Table, column: &str, value: &str) -> anyhow::Result<Vec<usize>> {
    let texts = table.texts(column)?;
    Ok((0..texts.len()).filter(|i| texts[*i] == value).collect())
}

fn pick(values: &[f64], rows: &[usize]) -> Vec<f64> {
    rows.iter().map(|i| values[*i]).collect()
}

/// What a figure is drawn from.
pub(super) struct Tables<'a> {
    pub(super) equivalence: &'a Table,
    pub(super) bands: &'a Table,
    /// References on the prompts of the curves.
    pub(super) held_out: &'a References,
    /// References on the prompts of the final losses.
    pub(super) last: &'a References,
    /// Plain's losses over the variance, by seed.
    pub(super) plain: &'a [f64],
}

pub(super) fn figure(id: &str, settings: &Settings, tables: &Tables<'_>) -> anyhow::Result<Figure> {
    let mut panels = vec![Panel::Lines(equivalence_panel(tables.equivalence)?)];
    for panel in &settings.panels {
        panels.push(Panel::Lines(loss_panel(panel, tables)?));
    }
    let caption = caption(id, settings, tables)?;
    Ok(Figure { id: id.to_owned(), columns: 2, panel_height: 210.0, panels, caption })
}

/// Says first what a reader must not miss: that plain has learned little from its prompts.
fn warning(tables: &Tables<'_>) -> anyhow::Result<String> {
    let (name, best) = tables.last.best_trivial()?;
    let share = mean(tables.plain) / best;
    Ok(if share <= LEARNED {
        String::new()
    } else {
        format!(
            "Plain's loss is {share:.3} of that of a predictor without inputs ({name}): little is learned in context \
             here. "
        )
    })
}

fn caption(id: &str, settings: &Settings, tables: &Tables<'_>) -> anyhow::Result<String> {
    let task = task::find(&settings.task)?;
    let (mut model, mut output) = (String::new(), "attention's label");
    let mut features = format!(
        " ({} for features, d_r = {}: against softmax attention, and against attention with the same features)",
        settings.dual_feature_orders, settings.dual_d_r
    );
    if let Some(Transformer { layers, hidden, residual }) = settings.transformer {
        let paths = if residual { "with" } else { "without" };
        model = format!(
            " {layers} Transformer layer(s) {paths} residual paths, {hidden} hidden units."
        );
        (output, features) = ("the last layer's label for the query", String::new());
    }
    let (name, best) = tables.held_out.best_trivial()?;
    let floor = tables.held_out.floor();
    let floor = floor.map_or(String::new(), |floor| format!(", dashed: the floor {floor:.4}"));
    Ok(format!(
        "{id}. {}Task {} ({}), d_t = {}, d_s = {}, N = {}, {} head(s).{model} Upper left: distance of the dual's \
         prediction from {output} along its gradient steps, root mean square over {} held-out prompts and {} random \
         orders{features} with the band that holds 95 % of them; dashed: the closed form. Others: test loss over the \
         target's variance against plain; mean and 95 % interval over {} seeds; dotted: the best predictor without \
         inputs on the same prompts ({name}, {best:.3}){floor}.",
        warning(tables)?,
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
    let shown = [
        (equivalence::EXACT, "exact dual"),
        (equivalence::FEATURES_SOFTMAX, "feature dual"),
        (equivalence::FEATURES, "to feature attention"),
    ];
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
        y: Axis::linear("|f(q) − h′| of the label (rms)"),
        series,
    })
}

fn loss_panel(panel: &PanelSettings, tables: &Tables<'_>) -> anyhow::Result<LinePanel> {
    let table = tables.bands;
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
    let ends = [least(steps.iter().copied()), largest::value(steps.iter().copied())];
    let level = |label, style, value| Series::line(label, style, ends.to_vec(), vec![value; 2]);
    series.push(level("no inputs", Style::LIMIT, tables.held_out.best_trivial()?.1));
    if let Some(floor) = tables.held_out.floor() {
        series.push(level("floor", Style::THEORY, floor));
    }
    Ok(LinePanel {
        title: panel.title.clone(),
        x: Axis::linear("training step"),
        y: Axis::linear("test loss / Var(s)"),
        series,
    })
}

/// A setting without its modification's name: `alpha=0.1` becomes `α=0.1`.
fn short(name: &str) -> String {
    let options = name.split_once(':').map_or(name, |(_, options)| options);
    let plain = options.replace("alpha", "α").replace("beta", "β").replace(',', " ");
    plain.replace("form=", "").replace("on=", "").replace("hidden=", "h=")
}
