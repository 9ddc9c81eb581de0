//! The figure: every seed's score, by task and setting, beside the floors.

use super::ITEM;
use super::settings::{BAG, MAJORITY, PLAIN, Settings, UNTRAINED};
use super::tables::{Sample, sample};
use crate::training_figure::labels::{label, style};
use artifact::figure::{Axis, DotPanel, DotRow, Figure, Panel, Style};
use icl_glue::Task;
use icl_numerics::order;

pub(super) fn figure(settings: &Settings, samples: &[Sample]) -> anyhow::Result<Figure> {
    let tasks = settings.tasks();
    let panels = tasks.iter().map(|task| panel(settings, samples, *task).map(Panel::Dots));
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 118.0,
        panels: panels.collect::<Result<_, _>>()?,
        caption: caption(settings),
    })
}

fn panel(settings: &Settings, samples: &[Sample], task: Task) -> anyhow::Result<DotPanel> {
    let row = |model: &str, name: String, parted: bool| -> anyhow::Result<DotRow> {
        let values = sample(samples, task, model)?.scores.clone();
        let interval = order::mean(&values).map(|mean| [mean; 3]);
        let look = style(if model == UNTRAINED { PLAIN } else { model });
        Ok(DotRow {
            label: name,
            style: look,
            values,
            interval,
            bound: None,
            note: String::new(),
            parted,
        })
    };
    let mut rows =
        vec![row(UNTRAINED, "not pre-trained".into(), false)?, row(PLAIN, PLAIN.into(), false)?];
    for (i, setting) in settings.modifications.iter().enumerate() {
        rows.push(row(setting, label(setting), i == 0)?);
    }
    let mut rules = Vec::new();
    for (floor, look) in [(MAJORITY, Style::LIMIT), (BAG, Style::LEVEL)] {
        let level = order::mean(&sample(samples, task, floor)?.scores).unwrap_or(f64::NAN);
        rules.push((level, String::new(), look));
    }
    let metric = sample(samples, task, PLAIN)?.metric;
    Ok(DotPanel {
        title: format!("{task}-like"),
        x: Axis::linear(metric),
        rows,
        rules,
        margins: [78.0, 0.0],
    })
}

fn caption(settings: &Settings) -> String {
    let shape = settings.model;
    format!(
        "Stand-in: a seeded grammar, not GLUE. Scores on the split dev of four sets that ask GLUE's questions about \
         sentences of a grammar, of a BERT of {} layers of width {} that was pre-trained on masked words of {} documents \
         of the same grammar and fine-tuned on {} rows: one point for each of {} seeds, which draw rows, order and head; \
         the pre-trained model is the same, and a bar their mean. Modifications: {}. Vertical lines: means of the majority \
         (dotted) and of a bag of words (dashed).",
        shape.layers,
        shape.hidden,
        settings.documents,
        settings.sizes().train,
        settings.seeds,
        settings.modifications.join("; "),
    )
}
