//! Every run as a line, coloured by the branch it ends in.

use super::run;
use super::{Settings, floors};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::table::Table;
use dual_model::floor::Kind;
use icl_numerics::largest;

/// Lines of single runs, beyond which a panel is full.
const MOST_LINES: usize = 60;

pub(super) fn figure(
    settings: &Settings,
    runs: &Table,
    ends: &Table,
    floors: &Table,
) -> anyhow::Result<Figure> {
    let lines = |column: &str| lines(runs, ends, column);
    let losses = lines("relative_loss")?;
    let step = || Axis::linear("training step");
    let panel =
        |title: &str, x, y, series| Panel::Lines(LinePanel { title: title.into(), x, y, series });
    let panels = vec![
        panel("every run", step(), Axis::linear("test loss / Var(s)").from_to(0.55, 1.05), losses),
        panel(
            "the query's own token",
            step(),
            Axis::linear("softmax mass of the query"),
            lines("query_mass")?,
        ),
        panel(
            "floors",
            Axis::log("demonstrations N"),
            Axis::linear("floor / Var(s)"),
            floor_lines(floors)?,
        ),
        panel(
            "what decides",
            Axis::linear("label weight at the start"),
            Axis::linear("test loss / Var(s) at the end"),
            points(ends, floors)?,
        ),
    ];
    Ok(Figure {
        id: super::ITEM.id.to_owned(),
        columns: 2,
        shares: vec![],
        panel_height: 135.0,
        panels,
        caption: format!(
            "Linear task, d_t = {}, N = {}, one softmax head with the query token in the softmax: {} runs \
             from random starts (the first {MOST_LINES} drawn), coloured by where they end. Upper left: test loss; \
             upper right: the softmax mass that the query's own \
             token takes; lower left: floors against N, also of two heads; lower right: the end of every run against \
             the one initial weight that decides, and of {} free starts with other spreads, with the floors on the same \
             prompts.",
            settings.d_t, settings.n_demos, settings.seeds, settings.free_starts
        ),
    })
}

fn style(branch: &str) -> Style {
    Style::of(branch).unwrap_or(Style::LIMIT).run()
}

/// A column along the training, one line a run; the first of a branch names it.
fn lines(runs: &Table, ends: &Table, column: &str) -> anyhow::Result<Vec<Series>> {
    let (seeds, steps) = (runs.integers("seed")?, runs.numbers("step")?);
    let values = runs.floats(column)?;
    let (ended, branches) = (ends.integers("seed")?, ends.texts("branch")?);
    let mut named: Vec<&str> = Vec::new();
    let mut series = Vec::new();
    for i in run::of_start(ends, "as the figures")?.into_iter().take(MOST_LINES) {
        let rows: Vec<usize> = (0..seeds.len()).filter(|row| seeds[*row] == ended[i]).collect();
        let branch = branches[i].as_str();
        let label = if named.contains(&branch) { "" } else { branch };
        named.push(branch);
        let pick = |of: &[f64]| rows.iter().map(|row| of[*row]).collect::<Vec<f64>>();
        series.push(Series::line(label, style(branch), pick(&steps), pick(&values)));
    }
    Ok(series)
}

fn floor_lines(floors: &Table) -> anyhow::Result<Vec<Series>> {
    let line = |(heads, kind, label): (i64, Kind, &str)| -> anyhow::Result<Series> {
        let (x, y) = floors::against_demos(floors, heads, kind.name())?;
        Ok(Series::line(label, Style::of(kind.name())?, x, y))
    };
    [
        (1, Kind::Opposed, "one head, opposed"),
        (1, Kind::Aligned, "one head, aligned"),
        (2, Kind::Unequal, "two heads"),
    ]
    .into_iter()
    .map(line)
    .collect()
}

/// The end of every run against its initial weight.
fn points(ends: &Table, floors: &Table) -> anyhow::Result<Vec<Series>> {
    let (weights, losses) = (ends.floats("label_weight")?, ends.floats("final_loss")?);
    let (branches, starts) = (ends.texts("branch")?, ends.texts("start")?);
    let of = |label: &str, keep: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..weights.len()).filter(|row| keep(*row)).collect();
        let pick = |of: &[f64]| rows.iter().map(|row| of[*row]).collect::<Vec<f64>>();
        (!rows.is_empty()).then(|| {
            Series::points(
                label,
                Style::of(label).unwrap_or(Style::LIMIT),
                pick(&weights),
                pick(&losses),
            )
        })
    };
    let drawn = |row: usize| starts[row] != "free";
    let is = |row: usize, kind: Kind| drawn(row) && branches[row] == kind.name();
    // beyond three spreads of the figures' start the axis would show the free starts alone
    let widest = 3.0
        * largest::value(
            (0..weights.len()).filter(|row| drawn(*row)).map(|row| weights[row].abs()),
        );
    let free = |row: usize| !drawn(row) && weights[row].abs() <= widest;
    let on_way = |row: usize| drawn(row) && branches[row] == run::SADDLE;
    let all = [
        of("saddle", &on_way),
        of("opposed", &|row| is(row, Kind::Opposed)),
        of("aligned", &|row| is(row, Kind::Aligned)),
        of("free starts", &free),
    ];
    let mut all: Vec<Series> = all.into_iter().flatten().collect();
    for floor in floors::on_same_prompts(floors)? {
        let label = format!("floor, {}", floor.branch);
        all.push(Series::line(&label, Style::THEORY, vec![-widest, widest], vec![floor.loss; 2]));
    }
    Ok(all)
}
