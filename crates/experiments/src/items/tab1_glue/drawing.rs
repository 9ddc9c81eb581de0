//! The figure: every seed's score on dev beside the floors, a panel for every task.

use super::runs::{Floors, Runs};
use super::{ITEM, Settings, Sources};
use crate::training_figure::labels::{label, style};
use artifact::figure::{Axis, DotPanel, DotRow, Figure, Panel, Style};
use icl_glue::Task;
use icl_numerics::order;

/// Which model a row is of.
const NUMBERS: [&str; 4] = ["¹", "²", "³", "⁴"];

pub(super) fn figure(
    settings: &Settings,
    sources: &Sources,
    runs: &[Runs],
    floors: &[Floors],
) -> Figure {
    let panels = Task::ALL.into_iter().map(|task| {
        let own: Vec<&Runs> = runs.iter().filter(|one| one.task == task).collect();
        let floors = floors.iter().find(|floors| floors.task == task);
        Panel::Dots(panel(settings, task, &own, floors))
    });
    let numbered = sources.models.iter().zip(NUMBERS);
    let models: Vec<String> =
        numbered.map(|(model, mark)| format!("{mark} {}", model.label)).collect();
    let rows = models.len() * settings.modifications.len();
    Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 50.0 + 8.6 * rows as f64,
        panels: panels.collect(),
        caption: format!(
            "Scores on the development sets of GLUE after tuning {}: every seed of every setting a ring, a bar the mean. \
             Vertical lines: what needs no network (floors.csv). n = {} seeds.",
            models.join("; "),
            settings.seeds
        ),
    }
}

fn panel(settings: &Settings, task: Task, runs: &[&Runs], floors: Option<&Floors>) -> DotPanel {
    let mut models: Vec<&str> = runs.iter().map(|one| one.model.as_str()).collect();
    models.dedup();
    let mut rows = Vec::new();
    for (m, model) in models.iter().enumerate() {
        let own = runs.iter().filter(|one| one.model == *model);
        for (i, (one, setting)) in own.zip(&settings.modifications).enumerate() {
            let values = one.dev_scores().unwrap_or_default();
            let interval = order::mean(&values).map(|mean| [mean; 3]);
            let (mark, parted) = (NUMBERS.get(m).copied().unwrap_or(""), m > 0 && i == 0);
            let label = format!("{} {mark}", label(setting));
            rows.push(DotRow {
                label,
                style: style(setting),
                values,
                interval,
                bound: None,
                note: String::new(),
                parted,
            });
        }
    }
    let looks = [Style::LIMIT, Style::LEVEL, Style::THEORY];
    let levels = floors.iter().flat_map(|floors| &floors.floors).zip(looks.into_iter().cycle());
    let rules = levels
        .map(|((_, [_, dev]), look)| (dev.first_score(task).unwrap_or(0.0), String::new(), look))
        .collect();
    let metric = runs.first().and_then(|one| one.dev.first()?.scores(task).ok());
    let metric = metric.and_then(|scores| Some(scores.first()?.name)).unwrap_or("score");
    DotPanel {
        title: task.folder().into(),
        x: Axis::linear(metric),
        rows,
        rules,
        margins: [122.0, 0.0],
    }
}
