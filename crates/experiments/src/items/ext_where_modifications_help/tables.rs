//! Tables.

use super::outputs::{Group, Run};
use super::reference::RIDGE;
use artifact::statistics::interval;
use artifact::table::{Table, TableBuilder};

/// A table whose rows belong to groups: kind, noise, demonstrations first.
fn of_groups<'a>(name: &str, groups: impl Iterator<Item = &'a Group> + Clone) -> TableBuilder {
    let kinds: Vec<&str> = groups.clone().map(|group| group.place.kind.name()).collect();
    Table::builder(name)
        .texts("kind", &kinds)
        .floats("noise", groups.clone().map(|group| group.place.noise).collect())
        .integers("n_demos", groups.map(|group| group.place.n_demos as i64).collect())
}

/// The loss of every setting and seed, plain first.
pub(super) fn finals(groups: &[Group]) -> anyhow::Result<Table> {
    let mut rows: Vec<(&Group, &str, usize, f64)> = Vec::new();
    for group in groups {
        let runs = group.runs.iter().map(|run| (run.setting.as_str(), &run.losses));
        for (setting, losses) in std::iter::once((super::settings::PLAIN, &group.plain)).chain(runs)
        {
            rows.extend(losses.iter().enumerate().map(|(seed, x)| (group, setting, seed, *x)));
        }
    }
    let table = of_groups("finals", rows.iter().map(|row| row.0))
        .texts("setting", &rows.iter().map(|row| row.1).collect::<Vec<_>>())
        .integers("seed", rows.iter().map(|row| row.2 as i64).collect())
        .floats("relative_loss", rows.iter().map(|row| row.3).collect())
        .build()?;
    Ok(table)
}

/// Every setting against plain. `change` and its ends are the mean difference and its own 95 % interval, relative to plain.
pub(super) fn comparisons(groups: &[Group]) -> anyhow::Result<Table> {
    let rows: Vec<(&Group, &Run)> =
        groups.iter().flat_map(|group| group.runs.iter().map(move |run| (group, run))).collect();
    let floats = |f: fn(&Run) -> f64| rows.iter().map(|(_, run)| f(run)).collect();
    let table = of_groups("comparisons", rows.iter().map(|row| row.0))
        .texts("setting", &rows.iter().map(|(_, run)| run.setting.as_str()).collect::<Vec<_>>())
        .floats("plain", rows.iter().map(|(group, _)| group.plain_mean()).collect())
        .floats("difference", floats(|run| run.comparison.difference.mean))
        .floats("change", floats(|run| run.change.mean))
        .floats("lower", floats(|run| run.change.lower))
        .floats("upper", floats(|run| run.change.upper))
        .floats("p_difference", floats(|run| run.comparison.evidence.p_difference))
        .floats("p_equivalence", floats(|run| run.comparison.evidence.p_equivalence))
        .texts(
            "verdict",
            &rows.iter().map(|(_, run)| run.comparison.word().text()).collect::<Vec<_>>(),
        )
        .build()?;
    Ok(table)
}

/// Plain at every place, with its 95 % interval over seeds, beside ridge and the best weights of the branch in which it
/// starts.
pub(super) fn places(groups: &[Group]) -> anyhow::Result<Table> {
    let intervals =
        groups.iter().map(|group| interval::mean(&group.plain)).collect::<Result<Vec<_>, _>>()?;
    let ridge = groups.iter().map(|group| Ok(group.loss(RIDGE, 0.0)?[0]));
    let floor = groups.iter().map(Group::floor);
    let starts: Vec<&str> = groups.iter().map(|group| group.place.start_branch()).collect();
    let table = of_groups("places", groups.iter())
        .texts("start", &starts)
        .floats("plain", intervals.iter().map(|plain| plain.mean).collect())
        .floats("lower", intervals.iter().map(|plain| plain.lower).collect())
        .floats("upper", intervals.iter().map(|plain| plain.upper).collect())
        .floats("ridge", ridge.collect::<anyhow::Result<_>>()?)
        .floats("floor", floor.collect::<anyhow::Result<_>>()?)
        .build()?;
    Ok(table)
}

/// What the prompts of every place allow; those of whole layers are the masked ones'.
pub(super) fn references(groups: &[Group]) -> anyhow::Result<Table> {
    let mut rows: Vec<&Group> = Vec::new();
    let own: Vec<&Group> = groups.iter().filter(|group| group.has_own_prompts(groups)).collect();
    for group in &own {
        rows.extend(std::iter::repeat_n(*group, group.references.rows()));
    }
    let all = Table::stack("references", own.iter().map(|group| &group.references))?;
    let mut builder = of_groups("references", rows.into_iter());
    for (name, _) in all.schema() {
        builder = match all.floats(&name) {
            Ok(numbers) => builder.floats(&name, numbers),
            Err(_) => builder.texts(&name, &all.texts(&name)?),
        };
    }
    Ok(builder.build()?)
}
