//! Scores by task, setting and seed, and their tables.

use super::run::name;
use super::settings::{PLAIN, Settings, UNTRAINED};
use anyhow::Context as _;
use artifact::cell::Results;
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::statistics::{Interval, interval};
use artifact::table::Table;
use icl_glue::Task;
use icl_numerics::order;

/// The scores of one setting on one task by the task's first metric, seed by seed.
pub(super) struct Sample {
    pub(super) task: Task,
    pub(super) setting: String,
    pub(super) metric: &'static str,
    pub(super) scores: Vec<f64>,
}

/// The metric by which settings are compared: the first of the task's.
fn metric(task: Task) -> &'static str {
    match task {
        Task::Cola => "matthews",
        Task::Mrpc => "f1",
        Task::StsB => "pearson",
        Task::Rte => "accuracy",
    }
}

/// All scores, as the cells have them.
pub(super) fn scores(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let (mut tasks, mut seeds) = (Vec::new(), Vec::new());
    let (mut rows, mut metrics, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for task in settings.tasks() {
        for seed in 0..settings.seeds {
            let cell = results.get(&name(task, seed))?;
            tasks.extend(std::iter::repeat_n(task.id(), cell.rows()));
            seeds.extend(std::iter::repeat_n(seed as i64, cell.rows()));
            rows.extend(cell.texts("setting")?);
            metrics.extend(cell.texts("metric")?);
            scores.extend(cell.floats("score")?);
        }
    }
    let table = Table::builder("scores")
        .texts("task", &tasks)
        .integers("seed", seeds)
        .texts("setting", &rows.iter().map(String::as_str).collect::<Vec<_>>())
        .texts("metric", &metrics.iter().map(String::as_str).collect::<Vec<_>>())
        .floats("score", scores)
        .build()?;
    Ok(table)
}

/// Samples of every task and setting, in the order of the settings.
pub(super) fn samples(settings: &Settings, scores: &Table) -> anyhow::Result<Vec<Sample>> {
    let (tasks, rows) = (scores.texts("task")?, scores.texts("setting")?);
    let (metrics, values) = (scores.texts("metric")?, scores.floats("score")?);
    let mut samples = Vec::new();
    for task in settings.tasks() {
        for setting in settings.scored() {
            let metric = metric(task);
            let own = (0..values.len())
                .filter(|i| tasks[*i] == task.id() && rows[*i] == setting && metrics[*i] == metric);
            let sample: Vec<f64> = own.map(|i| values[i]).collect();
            anyhow::ensure!(sample.len() == settings.seeds as usize, "{task} {setting}: a seed");
            samples.push(Sample { task, setting: setting.to_owned(), metric, scores: sample });
        }
    }
    Ok(samples)
}

/// The sample of a task and setting.
pub(super) fn sample<'a>(
    samples: &'a [Sample],
    task: Task,
    setting: &str,
) -> anyhow::Result<&'a Sample> {
    let found = samples.iter().find(|sample| sample.task == task && sample.setting == setting);
    found.with_context(|| format!("{task} {setting}: no scores"))
}

/// Mean and interval of every sample.
pub(super) fn summary(samples: &[Sample]) -> anyhow::Result<Table> {
    let of = |sample: &Sample| interval::mean(&sample.scores);
    let intervals: Vec<Interval> = samples.iter().map(of).collect::<Result<_, _>>()?;
    let column = |f: fn(&Interval) -> f64| intervals.iter().map(f).collect();
    let table = Table::builder("summary")
        .texts("task", &samples.iter().map(|sample| sample.task.id()).collect::<Vec<_>>())
        .texts("setting", &samples.iter().map(|s| s.setting.as_str()).collect::<Vec<_>>())
        .texts("metric", &samples.iter().map(|sample| sample.metric).collect::<Vec<_>>())
        .floats("mean", column(|one| one.mean))
        .floats("lower", column(|one| one.lower))
        .floats("upper", column(|one| one.upper))
        .build()?;
    Ok(table)
}

/// A setting against plain on one task.
pub(super) struct Against {
    pub(super) task: Task,
    pub(super) comparison: Comparison,
}

/// Pre-training left out, and every modification, against plain: plain's score less the setting's, so that less is better,
/// with Holm's adjustment over all of them.
pub(super) fn against_plain(
    settings: &Settings,
    samples: &[Sample],
) -> anyhow::Result<Vec<Against>> {
    let mut all = Vec::new();
    let mut tasks = Vec::new();
    for task in settings.tasks() {
        let plain = &sample(samples, task, PLAIN)?.scores;
        let others = settings.modifications.iter().map(String::as_str);
        for setting in std::iter::once(UNTRAINED).chain(others) {
            let scores = &sample(samples, task, setting)?.scores;
            let values = plain.iter().zip(scores).map(|(plain, own)| plain - own).collect();
            let margin = settings.margin * order::mean(plain).context("no seed")?.abs();
            all.push(Differences { name: setting.to_owned(), values, margin });
            tasks.push(task);
        }
    }
    let comparisons = compare(&all)?;
    let against = |(task, comparison)| Against { task, comparison };
    Ok(tasks.into_iter().zip(comparisons).map(against).collect())
}

pub(super) fn comparison(all: &[Against]) -> anyhow::Result<Table> {
    let column = |f: fn(&Comparison) -> f64| all.iter().map(|one| f(&one.comparison)).collect();
    let table = Table::builder("comparison")
        .texts("task", &all.iter().map(|one| one.task.id()).collect::<Vec<_>>())
        .texts("setting", &all.iter().map(|one| one.comparison.name.as_str()).collect::<Vec<_>>())
        .floats("below_plain", column(|one| one.difference.mean))
        .floats("lower", column(|one| one.difference.lower))
        .floats("upper", column(|one| one.difference.upper))
        .floats("margin", column(|one| one.margin))
        .floats("p_difference", column(|one| one.evidence.p_difference))
        .floats("p_equivalence", column(|one| one.evidence.p_equivalence))
        .floats("detectable", column(|one| one.detectable))
        .texts("verdict", &all.iter().map(|one| one.comparison.word().text()).collect::<Vec<_>>())
        .build()?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metric that is compared is the first that `icl_glue` gives.
    #[test]
    fn the_metric_is_the_first_of_the_task() {
        for task in Task::ALL {
            let first = icl_glue::metric::scores(task, &[0.0, 1.0], &[0.0, 1.0]).unwrap()[0];
            assert_eq!(first.name, metric(task));
        }
    }
}
