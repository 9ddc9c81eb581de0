//! The exported tables.

use super::Sources;
use super::inference::Compared;
use super::runs::{Floors, Labelled, Runs};
use crate::inputs::{DataFiles, Hashed};
use anyhow::Context as _;
use artifact::statistics::interval;
use artifact::table::Table;
use icl_glue::{Score, Task};
use icl_numerics::order;

/// What was read: input, file, SHA-256, and what is known of it.
pub(super) fn inputs(sources: &Sources) -> anyhow::Result<Table> {
    let mut rows: Vec<[String; 4]> = Vec::new();
    let mut add = |input: &str, file: &Hashed, known: &str| {
        rows.push([input.to_owned(), file.name(), file.sha256.clone(), known.to_owned()]);
    };
    for data in &sources.data {
        for file in [&data.train, &data.dev] {
            add(data.task.folder(), file, DataFiles::description(file));
        }
    }
    for model in &sources.models {
        model.files.iter().for_each(|file| add(&model.name, file, &model.label));
    }
    let column = |i: usize| rows.iter().map(|row| row[i].clone()).collect::<Vec<String>>();
    let table = Table::builder("inputs")
        .texts("input", &column(0))
        .texts("file", &column(1))
        .texts("sha256", &column(2))
        .texts("known", &column(3));
    Ok(table.build()?)
}

/// Every score of every seed on both sets, and of the floors.
pub(super) fn scores(runs: &[Runs], floors: &[Floors]) -> anyhow::Result<Table> {
    let (mut texts, mut seeds, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut add = |key: [&str; 4], seed: usize, scores: Vec<Score>| {
        for score in scores {
            let [model, task, setting, set] = key;
            texts.push([model, task, setting, set, score.name].map(str::to_owned));
            seeds.push(seed as i64);
            values.push(score.value);
        }
    };
    for one in runs {
        for (set, labelled) in [("selection", &one.selection), ("dev", &one.dev)] {
            let key = [&one.model, one.task.folder(), &one.setting, set];
            for (seed, labelled) in labelled.iter().enumerate() {
                add(key, seed, labelled.scores(one.task)?);
            }
        }
    }
    for Floors { task, floors } in floors {
        for (floor, [selection, dev]) in floors {
            for (set, labelled) in [("selection", selection), ("dev", dev)] {
                add(["none", task.folder(), floor, set], 0, labelled.scores(*task)?);
            }
        }
    }
    let column = |i: usize| texts.iter().map(|row| row[i].clone()).collect::<Vec<String>>();
    let table = Table::builder("scores")
        .texts("model", &column(0))
        .texts("task", &column(1))
        .texts("setting", &column(2))
        .texts("set", &column(3))
        .texts("metric", &column(4))
        .integers("seed", seeds)
        .floats("score", values);
    Ok(table.build()?)
}

/// Settings against plain.
pub(super) fn comparison(all: &[Compared]) -> anyhow::Result<Table> {
    let texts = |f: &dyn Fn(&Compared) -> String| all.iter().map(f).collect::<Vec<String>>();
    let floats = |f: &dyn Fn(&Compared) -> f64| all.iter().map(f).collect::<Vec<f64>>();
    let table = Table::builder("comparison")
        .texts("model", &texts(&|one| one.model.clone()))
        .texts("task", &texts(&|one| one.task.folder().to_owned()))
        .texts("setting", &texts(&|one| one.setting.clone()))
        .floats("plain_minus_setting", floats(&|one| one.comparison.difference.mean))
        .floats("lower", floats(&|one| one.comparison.difference.lower))
        .floats("upper", floats(&|one| one.comparison.difference.upper))
        .floats("margin", floats(&|one| one.comparison.margin))
        .floats("p_difference", floats(&|one| one.comparison.evidence.p_difference))
        .floats("p_equivalence", floats(&|one| one.comparison.evidence.p_equivalence))
        .floats("rows_and_seeds_lower", floats(&|one| one.both[0]))
        .floats("rows_and_seeds_upper", floats(&|one| one.both[1]))
        .floats("detectable", floats(&|one| one.comparison.detectable))
        .texts("verdict", &texts(&|one| one.comparison.word().text().to_owned()));
    Ok(table.build()?)
}

/// A row of the paper's table for one metric.
struct Line {
    texts: [String; 5],
    /// Chosen on the held-out rows: score there, on dev with standard deviation and interval over seeds; then what
    /// choosing on dev would have given.
    numbers: [f64; 6],
    dev_setting: String,
}

/// The paper's table: for every model, task and metric plain, the best of each kind, the best of all; and the floors.
pub(super) fn table(runs: &[Runs], floors: &[Floors]) -> anyhow::Result<Table> {
    let mut lines = Vec::new();
    let mut models: Vec<&str> = runs.iter().map(|one| one.model.as_str()).collect();
    models.dedup();
    for model in models {
        for task in Task::ALL {
            let own: Vec<&Runs> =
                runs.iter().filter(|one| one.model == model && one.task == task).collect();
            let mut kinds: Vec<&str> = own.iter().map(|one| one.kind()).collect();
            kinds.dedup();
            for kind in kinds {
                let of: Vec<&Runs> = own.iter().copied().filter(|one| one.kind() == kind).collect();
                lines.extend(best_lines(kind, &of)?);
            }
            lines.extend(best_lines("global best", &own)?);
        }
    }
    for Floors { task, floors } in floors {
        for (floor, sets) in floors {
            lines.extend(floor_lines(*task, floor, sets)?);
        }
    }
    let text = |i: usize| lines.iter().map(|line| line.texts[i].clone()).collect::<Vec<String>>();
    let number = |i: usize| lines.iter().map(|line| line.numbers[i]).collect::<Vec<f64>>();
    let dev_settings: Vec<&String> = lines.iter().map(|line| &line.dev_setting).collect();
    let table = Table::builder("table1")
        .texts("model", &text(0))
        .texts("task", &text(1))
        .texts("row", &text(2))
        .texts("metric", &text(3))
        .texts("setting", &text(4))
        .floats("selection", number(0))
        .floats("dev", number(1))
        .floats("sd", number(2))
        .floats("lower", number(3))
        .floats("upper", number(4))
        .texts("chosen_on_dev", &dev_settings)
        .floats("dev_if_chosen_on_dev", number(5));
    Ok(table.build()?)
}

/// The setting of the highest value, the first of several.
fn best<'a>(
    runs: &[&'a Runs],
    value: impl Fn(&Runs) -> anyhow::Result<f64>,
) -> anyhow::Result<&'a Runs> {
    let mut found: Option<(&Runs, f64)> = None;
    for one in runs {
        let value = value(one)?;
        if found.is_none_or(|(_, best)| value > best) {
            found = Some((one, value));
        }
    }
    Ok(found.context("no setting")?.0)
}

fn best_lines(row: &str, runs: &[&Runs]) -> anyhow::Result<Vec<Line>> {
    let chosen = best(runs, Runs::selection_score)?;
    let on_dev = best(runs, |one| order::mean(&one.dev_scores()?).context("no seed"))?;
    let task = chosen.task;
    let names = chosen.dev.first().context("no seed")?.scores(task)?;
    let line = |(m, Score { name, .. }): (usize, &Score)| -> anyhow::Result<Line> {
        let of = |all: &[Labelled]| -> anyhow::Result<Vec<f64>> {
            all.iter().map(|one| Ok(one.scores(task)?[m].value)).collect()
        };
        let mean = |all: &[f64]| order::mean(all).context("no seed");
        let dev = of(&chosen.dev)?;
        let interval = interval::mean(&dev)?;
        let sd = order::variance(&dev).unwrap_or(0.0).sqrt();
        let (selection, other) = (mean(&of(&chosen.selection)?)?, mean(&of(&on_dev.dev)?)?);
        let texts = [&chosen.model, task.folder(), row, name, &chosen.setting].map(str::to_owned);
        let numbers = [selection, interval.mean, sd, interval.lower, interval.upper, other];
        Ok(Line { texts, numbers, dev_setting: on_dev.setting.clone() })
    };
    names.iter().enumerate().map(line).collect()
}

fn floor_lines(
    task: Task,
    floor: &str,
    [selection, dev]: &[Labelled; 2],
) -> anyhow::Result<Vec<Line>> {
    let scores = selection.scores(task)?.into_iter().zip(dev.scores(task)?);
    let line = |(selection, dev): (Score, Score)| Line {
        texts: ["none", task.folder(), floor, dev.name, floor].map(str::to_owned),
        numbers: [selection.value, dev.value, 0.0, dev.value, dev.value, dev.value],
        dev_setting: floor.to_owned(),
    };
    Ok(scores.map(line).collect())
}
