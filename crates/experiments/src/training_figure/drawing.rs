//! Drawing of a figure from its tables: the dual's curve, single runs, and every seed of every setting.

use super::claims::LEARNED;
use super::labels::{SIGNS, kind, label, sign, style};
use super::settings::{PLAIN, Settings, Transformer};
use super::tables::mean;
use crate::cells::equivalence;
use crate::cells::references::References;
use anyhow::Context as _;
use artifact::figure::{Axis, DotPanel, DotRow, Figure, LinePanel, Panel, Series, Style};
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

/// What a figure is drawn from.
pub(super) struct Tables<'a> {
    pub(super) equivalence: &'a Table,
    pub(super) training: &'a Table,
    pub(super) finals: &'a Table,
    pub(super) comparison: &'a Table,
    /// References on the prompts of the final losses.
    pub(super) last: &'a References,
    /// Plain's losses over the variance, by seed.
    pub(super) plain: &'a [f64],
}

pub(super) fn figure(id: &str, settings: &Settings, tables: &Tables<'_>) -> anyhow::Result<Figure> {
    let rows = dot_rows(tables)?;
    // a row for every setting, and room for title and axis
    let height = largest::at_least(9.5 * rows.len() as f64 + 50.0, 128.0);
    let panels = vec![
        Panel::Lines(equivalence_panel(tables.equivalence)?),
        Panel::Lines(runs_panel(tables)?),
        Panel::Dots(dot_panel(settings, tables, rows)),
    ];
    let caption = caption(settings, tables)?;
    let shares = vec![1.0, 1.0, 1.6];
    Ok(Figure { id: id.to_owned(), columns: 3, shares, panel_height: height, panels, caption })
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

fn caption(settings: &Settings, tables: &Tables<'_>) -> anyhow::Result<String> {
    let task = task::find(&settings.task)?;
    let (mut model, mut output) = (String::new(), "attention's label");
    let mut features = format!(
        " ({} for {} features: against softmax attention, and against attention with the same features)",
        settings.dual_feature_orders, settings.dual_d_r
    );
    if let Some(Transformer { layers, hidden, residual }) = settings.transformer {
        let paths = if residual { "with" } else { "without" };
        let noun = if layers == 1 { "layer" } else { "layers" };
        model =
            format!(" {layers} Transformer {noun} {paths} residual paths, {hidden} hidden units.");
        (output, features) = ("the last layer's label for the query", String::new());
    }
    let heads = if settings.n_heads == 1 {
        "one head".into()
    } else {
        format!("{} heads", settings.n_heads)
    };
    let combined = settings.panels.iter().flat_map(|panel| &panel.modifications);
    let combined = combined.into_iter().find(|setting| kind(setting) == "combined");
    let combinations = combined.map_or("", |_| {
        " In combinations g is the augmentation and m the number of negatives, with the options in comparison.csv."
    });
    let (name, best) = tables.last.best_trivial()?;
    let floor = tables.last.floor();
    let floor = floor.map_or(String::new(), |floor| format!("; dashed: the floor {floor:.4}"));
    Ok(format!(
        "{}Task {} ({}), d_t = {}, d_s = {}, N = {}, {heads}.{model} (a) Distance of the dual's prediction from {output} \
         along its gradient steps, root mean square over {} held-out prompts and {} random orders{features}; thin line: \
         the closed form. (b) Test loss over the target's variance along training on {} held-out prompts, every seed a \
         line: plain, and the setting with the lowest mean. (c) The same after training on {} other prompts: every \
         seed of every setting a ring, a bar its mean, the vertical line plain's mean{floor}. Signs: {SIGNS} against \
         plain (exact sign-flip test, Holm over all settings, margin {:.0} %). The best predictor without inputs ({name}) \
         has {best:.3} there.{combinations} n = {} seeds.",
        warning(tables)?,
        task.id(),
        task.equation(),
        settings.d_t,
        settings.d_s,
        settings.n_demos,
        settings.dual_prompts,
        settings.dual_orders,
        settings.n_test,
        settings.n_final,
        100.0 * settings.margin,
        settings.seeds
    ))
}

fn equivalence_panel(table: &Table) -> anyhow::Result<LinePanel> {
    let steps = table.numbers("step")?;
    let root = |column: &str| -> anyhow::Result<Vec<f64>> {
        Ok(table.floats(column)?.iter().map(|x| largest::at_least(*x, 0.0).sqrt()).collect())
    };
    let (measured, closed) = (root("mean_square")?, root("closed_form")?);
    let exact = rows(table, "dual", equivalence::EXACT)?;
    let theory =
        Series::line("closed form", Style::THEORY, pick(&steps, &exact), pick(&closed, &exact));
    let mut series = vec![theory];
    let shown = [
        (equivalence::EXACT, "exact dual"),
        (equivalence::FEATURES_SOFTMAX, "feature dual"),
        (equivalence::FEATURES, "to feature attention"),
    ];
    for (name, label) in shown {
        let rows = rows(table, "dual", name)?;
        if !rows.is_empty() {
            let (x, y) = (pick(&steps, &rows), pick(&measured, &rows));
            // the closed form is the exact dual's line
            series.push(if name == equivalence::EXACT {
                Series::points(label, Style::of(label)?, x, y)
            } else {
                Series::line(label, Style::of(label)?, x, y)
            });
        }
    }
    Ok(LinePanel {
        title: "the dual's steps".into(),
        x: Axis::linear("gradient step"),
        y: Axis::linear("|f(q) − h′| (rms)"),
        series,
    })
}

/// Losses of one setting on the final set, by seed.
fn finals(table: &Table, panel: &str, setting: &str) -> anyhow::Result<Vec<f64>> {
    let panels = table.texts("panel")?;
    let mut rows = rows(table, "setting", setting)?;
    rows.retain(|i| panels[*i] == panel);
    Ok(pick(&table.floats("loss_over_variance")?, &rows))
}

/// Panel and name of every setting but plain, in the order of the comparisons.
fn settings_of(comparison: &Table) -> anyhow::Result<Vec<(String, String)>> {
    Ok(comparison.texts("panel")?.into_iter().zip(comparison.texts("setting")?).collect())
}

/// One run as a line, the first of a setting with its name.
fn runs_of(table: &Table, panel: &str, setting: &str, name: &str) -> anyhow::Result<Vec<Series>> {
    let panels = table.texts("panel")?;
    let (seeds, steps) = (table.integers("seed")?, table.numbers("step")?);
    let losses = table.floats("loss_over_variance")?;
    let mut rows = rows(table, "setting", setting)?;
    rows.retain(|i| panels[*i] == panel);
    let last = rows.iter().map(|i| seeds[*i]).max().context("a setting without runs")?;
    let one = |seed: i64| {
        let own: Vec<usize> = rows.iter().copied().filter(|i| seeds[*i] == seed).collect();
        let name = if seed == 0 { name } else { "" };
        Series::line(name, style(setting).run(), pick(&steps, &own), pick(&losses, &own))
    };
    Ok((0..=last).map(one).collect())
}

/// Every run of plain and of the setting with the lowest mean.
fn runs_panel(tables: &Tables<'_>) -> anyhow::Result<LinePanel> {
    let means = tables.comparison.floats("loss_over_variance")?;
    let lowest = largest::least(means.iter().copied());
    let best = means.iter().position(|mean| *mean == lowest).context("no setting")?;
    let (panel, setting) = settings_of(tables.comparison)?.swap_remove(best);
    let mut series = runs_of(tables.training, PLAIN, PLAIN, PLAIN)?;
    series.extend(runs_of(tables.training, &panel, &setting, &label(&setting))?);
    Ok(LinePanel {
        title: "every seed".into(),
        x: Axis::linear("training step"),
        y: Axis::linear("test loss / Var(s)"),
        series,
    })
}

fn dot_rows(tables: &Tables<'_>) -> anyhow::Result<Vec<DotRow>> {
    let words = tables.comparison.texts("verdict")?;
    let row = |panel: &str, setting: &str, word: &str, parted: bool| -> anyhow::Result<DotRow> {
        let values = finals(tables.finals, panel, setting)?;
        let mean = mean(&values);
        let (label, style, note) = (label(setting), style(setting), sign(word).to_owned());
        Ok(DotRow { label, style, values, interval: Some([mean; 3]), bound: None, note, parted })
    };
    let mut rows = vec![row(PLAIN, PLAIN, "", false)?];
    let mut before = PLAIN.to_owned();
    for ((panel, setting), word) in settings_of(tables.comparison)?.iter().zip(&words) {
        rows.push(row(panel, setting, word, *panel != before)?);
        before.clone_from(panel);
    }
    Ok(rows)
}

fn dot_panel(settings: &Settings, tables: &Tables<'_>, rows: Vec<DotRow>) -> DotPanel {
    let plain = Style::REFERENCE;
    let mut rules = vec![(mean(tables.plain), String::new(), plain)];
    if let Some(floor) = tables.last.floor() {
        rules.push((floor, String::new(), Style::LEVEL));
    }
    let combined = settings.panels.iter().flat_map(|panel| &panel.modifications);
    let wide = combined.into_iter().any(|setting| kind(setting) == "combined");
    DotPanel {
        title: "every setting, final set".into(),
        x: Axis::linear("test loss / Var(s)"),
        rows,
        rules,
        margins: [if wide { 82.0 } else { 74.0 }, 10.0],
    }
}
