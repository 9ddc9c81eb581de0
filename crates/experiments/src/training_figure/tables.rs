//! Tables of a figure.

use super::Run;
use artifact::statistics::comparison::Comparison;
use artifact::table::Table;

/// Every run's test loss: panel, setting, seed, step, loss over the target's variance.
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
        .floats("loss_over_variance", losses)
        .build()?;
    Ok(table)
}

/// Every run after training, on the final set: panel, setting, seed, loss over the target's variance, and the root of
/// the median loss over the target's median absolute deviation.
pub(super) fn final_table(runs: &[Run]) -> anyhow::Result<Table> {
    let rows = || {
        runs.iter().flat_map(|run| {
            run.finals.iter().zip(&run.robust).enumerate().map(move |row| (run, row))
        })
    };
    let table = Table::builder("finals")
        .texts("panel", &rows().map(|(run, _)| run.panel.as_str()).collect::<Vec<_>>())
        .texts("setting", &rows().map(|(run, _)| run.setting.as_str()).collect::<Vec<_>>())
        .integers("seed", rows().map(|(_, (seed, _))| seed as i64).collect())
        .floats("loss_over_variance", rows().map(|(_, (_, losses))| *losses.0).collect())
        .floats("robust_error", rows().map(|(_, (_, losses))| *losses.1).collect())
        .build()?;
    Ok(table)
}

pub(super) fn comparison_table(runs: &[Run], comparisons: &[Comparison]) -> anyhow::Result<Table> {
    let column = |f: fn(&Comparison) -> f64| comparisons.iter().map(f).collect::<Vec<f64>>();
    let names: Vec<&str> = comparisons.iter().map(|one| one.name.as_str()).collect();
    let panels: Vec<&str> = runs[1..].iter().map(|run| run.panel.as_str()).collect();
    let finals = runs[1..].iter().map(|run| mean(&run.finals)).collect();
    let verdicts: Vec<&str> = comparisons.iter().map(|one| one.word().text()).collect();
    let table = Table::builder("comparison")
        .texts("panel", &panels)
        .texts("setting", &names)
        .floats("loss_over_variance", finals)
        .floats("difference", column(|one| one.difference.mean))
        .floats("lower", column(|one| one.difference.lower))
        .floats("upper", column(|one| one.difference.upper))
        .floats("margin", column(|one| one.margin))
        .floats("p_difference", column(|one| one.evidence.p_difference))
        .floats("p_equivalence", column(|one| one.evidence.p_equivalence))
        .floats("detectable", column(|one| one.detectable))
        .texts("verdict", &verdicts)
        .build()?;
    Ok(table)
}

pub(super) fn mean(x: &[f64]) -> f64 {
    icl_numerics::order::mean(x).unwrap_or(0.0)
}
