//! The figure: every seed's score on dev beside the floors, a panel for every task.

use super::runs::{Floors, Runs};
use super::{ITEM, Settings, Sources};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use icl_glue::Task;
use icl_numerics::order;

/// Distance of two seeds beside each other.
const STEP: f64 = 0.07;

pub(super) fn figure(
    settings: &Settings,
    sources: &Sources,
    runs: &[Runs],
    floors: &[Floors],
) -> Figure {
    let panels = Task::ALL.into_iter().map(|task| {
        let own: Vec<&Runs> = runs.iter().filter(|one| one.task == task).collect();
        let floors = floors.iter().find(|floors| floors.task == task);
        Panel::Lines(panel(settings, task, &own, floors))
    });
    let models: Vec<&str> = sources.models.iter().map(|model| model.label.as_str()).collect();
    let numbered = settings.modifications.iter().enumerate();
    let numbered: Vec<String> = numbered.map(|(i, one)| format!("{} {one}", i + 1)).collect();
    Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 220.0,
        panels: panels.collect(),
        caption: format!(
            "tab1-glue. Scores on the development sets of GLUE after tuning {}: every point is one of {} seeds, \
             a short line their mean. Settings: {}. Horizontal lines: what needs no network.",
            models.join("; "),
            settings.seeds,
            numbered.join(", ")
        ),
    }
}

fn panel(settings: &Settings, task: Task, runs: &[&Runs], floors: Option<&Floors>) -> LinePanel {
    let n = settings.modifications.len();
    let mut series = Vec::new();
    let mut models: Vec<&str> = runs.iter().map(|one| one.model.as_str()).collect();
    models.dedup();
    for (m, model) in models.iter().enumerate() {
        let own: Vec<&&Runs> = runs.iter().filter(|one| one.model == *model).collect();
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for (i, one) in own.iter().enumerate() {
            let scores = one.dev_scores().unwrap_or_default();
            let middle = (scores.len() as f64 - 1.0) / 2.0;
            let place = |s: usize| (i + 1) as f64 + STEP * (s as f64 - middle);
            x.extend((0..scores.len()).map(place));
            let mean = order::mean(&scores).unwrap_or(0.0);
            let ends = [0.3, -0.3].map(|gap| (i + 1) as f64 - gap).to_vec();
            let line = Series::line("", Style::series(m).solid().unmarked(), ends, vec![mean; 2]);
            series.push(line);
            y.extend(scores);
        }
        let label = model.split(',').next().unwrap_or(model);
        series.push(Series::points(label, Style::series(m), x, y));
    }
    let ends = vec![0.5, n as f64 + 0.5];
    for (i, (name, [_, dev])) in floors.iter().flat_map(|floors| &floors.floors).enumerate() {
        let score = dev.first_score(task).unwrap_or(0.0);
        let style = Style::series(models.len() + i).unmarked();
        series.push(Series::line(name, style, ends.clone(), vec![score; 2]));
    }
    let metric = runs.first().and_then(|one| one.dev.first()?.scores(task).ok());
    let metric = metric.and_then(|scores| Some(scores.first()?.name)).unwrap_or("score");
    LinePanel {
        title: task.folder().into(),
        x: Axis::linear("setting").from_to(0.4, n as f64 + 0.6),
        y: Axis::linear(metric),
        series,
    }
}
