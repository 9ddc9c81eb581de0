//! The figure: every seed's score, by task and setting, beside the floors.

use super::ITEM;
use super::settings::{BAG, MAJORITY, PLAIN, Settings, UNTRAINED};
use super::tables::{Sample, sample};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use icl_glue::Task;
use icl_numerics::order;

pub(super) fn figure(settings: &Settings, samples: &[Sample]) -> anyhow::Result<Figure> {
    let tasks = settings.tasks();
    let panels = tasks.iter().map(|task| panel(settings, samples, *task).map(Panel::Lines));
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 215.0,
        panels: panels.collect::<Result<_, _>>()?,
        caption: caption(settings),
    })
}

fn panel(settings: &Settings, samples: &[Sample], task: Task) -> anyhow::Result<LinePanel> {
    let modifications = settings.modifications.iter().map(String::as_str);
    let models: Vec<&str> = [UNTRAINED, PLAIN].into_iter().chain(modifications).collect();
    let end = models.len() as f64 + 0.5;
    let mut series = Vec::new();
    for (i, floor) in [MAJORITY, BAG].into_iter().enumerate() {
        let level = order::mean(&sample(samples, task, floor)?.scores).unwrap_or(f64::NAN);
        let style = if i == 0 { Style::THEORY } else { Style::REFERENCE };
        series.push(Series::line(floor, style, vec![0.5, end], vec![level; 2]));
    }
    for (i, model) in models.iter().enumerate() {
        let scores = sample(samples, task, model)?.scores.clone();
        // side by side, so that equal scores of several seeds can be counted
        let n = scores.len() as f64;
        let x =
            (0..scores.len()).map(|seed| i as f64 + 1.0 + 0.5 * ((seed as f64 + 0.5) / n - 0.5));
        let label = format!("{} {}", i + 1, short(model));
        series.push(Series::points(&label, Style::series(i), x.collect(), scores));
    }
    let metric = sample(samples, task, PLAIN)?.metric;
    Ok(LinePanel {
        title: format!("{task}-like"),
        x: Axis::linear("setting").from_to(0.5, end),
        y: Axis::linear(metric),
        series,
    })
}

/// A modification by its id.
fn short(setting: &str) -> &str {
    setting.split(':').next().unwrap_or(setting)
}

fn caption(settings: &Settings) -> String {
    let shape = settings.model;
    format!(
        "{}; stand-in: a seeded grammar, not GLUE. Scores on the split dev of four sets that ask GLUE's questions about \
         sentences of a grammar, of a BERT of {} layers of width {} that was pre-trained on masked words of {} documents \
         of the same grammar and fine-tuned on {} rows: one point for each of {} seeds, which draw rows, order and head; \
         the pre-trained model is the same. Modifications: {}. Lines: means of the floors.",
        ITEM.id,
        shape.layers,
        shape.hidden,
        settings.documents,
        settings.sizes().train,
        settings.seeds,
        settings.modifications.join("; "),
    )
}
