//! The figure.

use super::claims::Searched;
use super::{ITEM, Settings};
use artifact::figure::{Figure, HeatPanel, Panel, WordPanel};
use icl_numerics::largest;

/// The grid of every subject.
pub(super) fn figure(settings: &Settings, searched: &[Searched<'_>]) -> Figure {
    let panel = |one: &Searched<'_>| {
        let entries: Vec<f64> = (0..one.losses.len()).map(|point| one.mean(point)).collect();
        let word = |(point, mean): (usize, &f64)| {
            let chosen = if one.subject.chosen() == Some(point) { " *" } else { "" };
            format!("{mean:.4} ({}){chosen}", one.kept(point).len())
        };
        let words = entries.iter().enumerate().map(word).collect();
        let low = largest::least(entries.iter().copied());
        let high = largest::value(entries.iter().copied());
        let heat = HeatPanel {
            title: one.subject.name.clone(),
            x_label: "learning rate".into(),
            y_label: String::new(),
            columns: one.subject.rates.len(),
            entries,
            range: [low, high],
            names: [
                one.subject.starts.iter().map(|sd| format!("start {sd}")).collect(),
                one.subject.rates.iter().map(f64::to_string).collect(),
            ],
        };
        Panel::Words(WordPanel { heat, words })
    };
    Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 150.0,
        panels: searched.iter().map(panel).collect(),
        caption: format!(
            "ext-search. Loss relative to E[s²] after {} steps of {} prompts on the base setting, by the learning rate \
             from which a cosine falls and the standard deviation of the start, on seeds and prompts that no figure \
             uses. Means over the seeds that stay in the better branch, in brackets how many of {} do (a loss within \
             {} % of the subject's best run); over all where none does. Star: the point that the figures take. Every \
             panel has its own scale; light is good.",
            settings.steps,
            settings.batch,
            settings.seeds,
            100.0 * settings.lost
        ),
    }
}
