//! Tables of a figure.

use super::Run;
use artifact::statistics::{bootstrap::bootstrap_mean, comparison::Comparison};
use artifact::table::Table;
use icl_numerics::stream::Stream;

/// Every run's test loss: panel, setting, seed, step, relative loss.
pub(super) fn training_table(runs: &[Run]) -> anyhow::Result<Table> {
    let (mut panels, mut names, mut seeds, mut steps, mut losses) =
        (vec![], vec![], vec![], vec![], vec![]);
    for run in runs {
        for (seed, row) in run.losses.iter().enumerate() {
            for (step, loss) in run.steps.iter().zip(row) {
                panels.push(run.panel.as_str());
                names.push(run.setting.as_str());
                seeds.push(seed as i64);
                steps.push(*step);
                losses.push(*loss);
            }
        }
    }
    let table = Table::builder("training")
        .texts("panel", &panels)
        .texts("setting", &names)
        .integers("seed", seeds)
        .integers("step", steps)
        .floats("relative_loss", losses)
        .build()?;
    Ok(table)
}

/// Every run's loss after training on the final set: panel, setting, seed, relative loss.
pub(super) fn final_table(runs: &[Run]) -> anyhow::Result<Table> {
    let rows = || runs.iter().flat_map(|run| run.finals.iter().enumerate().map(move |f| (run, f)));
    let table = Table::builder("finals")
        .texts("panel", &rows().map(|(run, _)| run.panel.as_str()).collect::<Vec<_>>())
        .texts("setting", &rows().map(|(run, _)| run.setting.as_str()).collect::<Vec<_>>())
        .integers("seed", rows().map(|(_, (seed, _))| seed as i64).collect())
        .floats("relative_loss", rows().map(|(_, (_, loss))| *loss).collect())
        .build()?;
    Ok(table)
}

/// Mean and 95 % bootstrap band over seeds: what the figure shows.
pub(super) fn band_table(id: &str, runs: &[Run]) -> anyhow::Result<Table> {
    let (mut panels, mut names, mut steps) = (vec![], vec![], vec![]);
    let (mut means, mut lowers, mut uppers) = (vec![], vec![], vec![]);
    let stream = Stream::new(0, &format!("bootstrap/{id}"));
    for run in runs {
        for (i, step) in run.steps.iter().enumerate() {
            let sample: Vec<f64> = run.losses.iter().map(|row| row[i]).collect();
            let mut draws = stream.sample(i as u64);
            let interval = bootstrap_mean(&sample, 0.95, |n| draws.below(n))?;
            panels.push(run.panel.as_str());
            names.push(run.setting.as_str());
            steps.push(*step);
            means.push(interval.mean);
            lowers.push(interval.lower);
            uppers.push(interval.upper);
        }
    }
    let table = Table::builder("bands")
        .texts("panel", &panels)
        .texts("setting", &names)
        .integers("step", steps)
        .floats("mean", means)
        .floats("lower", lowers)
        .floats("upper", uppers)
        .build()?;
    Ok(table)
}

pub(super) fn comparison_table(runs: &[Run], comparisons: &[Comparison]) -> anyhow::Result<Table> {
    let column = |f: fn(&Comparison) -> f64| comparisons.iter().map(f).collect::<Vec<f64>>();
    let names: Vec<&str> = comparisons.iter().map(|one| one.name.as_str()).collect();
    let panels: Vec<&str> = runs[1..].iter().map(|run| run.panel.as_str()).collect();
    let finals = runs[1..].iter().map(|run| mean(&run.finals)).collect();
    let verdicts: Vec<&str> = comparisons.iter().map(Comparison::word).collect();
    let table = Table::builder("comparison")
        .texts("panel", &panels)
        .texts("setting", &names)
        .floats("relative_loss", finals)
        .floats("difference", column(|one| one.mean))
        .floats("lower", column(|one| one.lower))
        .floats("upper", column(|one| one.upper))
        .floats("p_holm", column(|one| one.p_holm))
        .floats("detectable", column(|one| one.detectable))
        .texts("verdict", &verdicts)
        .build()?;
    Ok(table)
}

pub(super) fn mean(x: &[f64]) -> f64 {
    icl_numerics::order::mean(x).unwrap_or(0.0)
}
