//! The figure.

use super::claims::Searched;
use super::{ITEM, Settings};
use crate::training_figure::labels::style;
use artifact::figure::{Axis, DotPanel, DotRow, Figure, Panel};
use icl_numerics::largest;

/// Every seed at every point of the grid of every subject.
pub(super) fn figure(settings: &Settings, searched: &[Searched<'_>]) -> Figure {
    let most = searched.iter().map(|one| one.losses.len()).max().unwrap_or(1);
    Figure {
        id: ITEM.id.into(),
        columns: 2,
        shares: vec![],
        panel_height: 50.0 + 8.6 * most as f64,
        panels: searched.iter().map(|one| Panel::Dots(panel(one))).collect(),
        caption: format!(
            "Loss relative to E[s²] after {} steps of {} prompts on the base setting, by the learning rate from which a \
             cosine falls and the standard deviation of the start, on seeds and prompts that no figure uses: every seed \
             a ring, a bar the mean of those that stay in the better branch (a loss within {} % of the subject's best \
             run), at the right how many do. Star: the point that the figures take. Diamonds at an end lie beyond it. \
             n = {} seeds.",
            settings.steps,
            settings.batch,
            100.0 * settings.lost,
            settings.seeds
        ),
    }
}

fn panel(one: &Searched<'_>) -> DotPanel {
    let rows = one.subject.points().into_iter().enumerate().map(|(point, (rate, sd))| {
        let chosen = one.subject.chosen() == Some(point);
        let star = if chosen { " *" } else { "" };
        let values = one.losses[point].clone();
        let mean = one.mean(point);
        DotRow {
            label: format!("{sd}, {rate}{star}"),
            style: if chosen { style("negative") } else { style("regularised") },
            note: format!("{} of {}", one.kept(point).len(), values.len()),
            interval: mean.is_finite().then_some([mean; 3]),
            bound: None,
            values,
            parted: point > 0 && point % one.subject.rates.len() == 0,
        }
    });
    let best = largest::least(one.losses.iter().flatten().copied());
    let worst = largest::value(one.losses.iter().flatten().copied());
    // runs that learned nothing do not set the scale
    let axis = Axis::linear("loss / E[s²]");
    let axis = if worst > 1.4 * best { axis.from_to(0.99 * best, 1.4 * best) } else { axis };
    DotPanel {
        title: format!("{}: start, rate", one.subject.name),
        x: axis,
        rows: rows.collect(),
        rules: vec![],
        margins: [52.0, 24.0],
    }
}
