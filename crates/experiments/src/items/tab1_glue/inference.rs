//! Settings against plain, seed by seed and over rows and seeds together.

use super::PLAIN;
use super::runs::Runs;
use anyhow::Context as _;
use artifact::statistics::comparison::{Comparison, Differences, compare};
use icl_glue::Task;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use rayon::prelude::*;

/// A setting against plain, of the same model on the same task.
pub(super) struct Compared {
    pub(super) model: String,
    pub(super) task: Task,
    pub(super) setting: String,
    /// Plain minus setting, so that less is better, as with losses; over seeds, adjusted for all comparisons.
    pub(super) comparison: Comparison,
    /// 95 % interval of plain minus setting over rows and seeds drawn again together.
    pub(super) both: [f64; 2],
}

/// Resamples of rows and seeds.
const RESAMPLES: usize = 1000;

/// Every setting against plain, adjusted for all of them; `margin` is a share of plain's score.
pub(super) fn comparisons(runs: &[Runs], margin: f64) -> anyhow::Result<Vec<Compared>> {
    let pairs: Vec<(&Runs, &Runs)> = runs
        .iter()
        .filter(|one| one.setting != PLAIN)
        .map(|one| Ok((one, plain_of(runs, one)?)))
        .collect::<anyhow::Result<_>>()?;
    let differences = |(one, plain): &(&Runs, &Runs)| -> anyhow::Result<Differences> {
        let (own, plain) = (one.dev_scores()?, plain.dev_scores()?);
        let values = plain.iter().zip(own).map(|(plain, own)| plain - own).collect();
        let margin = margin * order::mean(&plain).context("no seed")?.abs();
        Ok(Differences { name: one.setting.clone(), values, margin })
    };
    let all: Vec<Differences> = pairs.iter().map(differences).collect::<anyhow::Result<_>>()?;
    let compared = compare(&all)?;
    let both: Vec<[f64; 2]> = pairs
        .par_iter()
        .map(|(one, plain)| over_both(plain, one))
        .collect::<anyhow::Result<_>>()?;
    let whole = pairs.iter().zip(compared).zip(both);
    let whole = whole.map(|(((one, _), comparison), both)| Compared {
        model: one.model.clone(),
        task: one.task,
        setting: one.setting.clone(),
        comparison,
        both,
    });
    Ok(whole.collect())
}

fn plain_of<'a>(runs: &'a [Runs], one: &Runs) -> anyhow::Result<&'a Runs> {
    let same = |other: &&Runs| other.model == one.model && other.task == one.task;
    runs.iter().filter(same).find(|other| other.setting == PLAIN).context("plain is missing")
}

/// Percentile interval of the difference of mean scores, rows and seeds drawn again independently of each other: the
/// same rows and seeds for both, which are paired.
fn over_both(a: &Runs, b: &Runs) -> anyhow::Result<[f64; 2]> {
    let stream = Stream::new(0, &format!("rows-and-seeds/{}", a.task.id()));
    let n_rows = a.dev.first().context("no seed")?.labels.len();
    let difference = |i: usize| -> anyhow::Result<f64> {
        let mut draws = stream.sample(i as u64);
        let mut draw =
            |n: usize| -> Vec<usize> { (0..n).map(|_| draws.below(n as u64) as usize).collect() };
        let (seeds, rows) = (draw(a.dev.len()), draw(n_rows));
        let mean = |runs: &Runs| -> anyhow::Result<f64> {
            let scores = seeds.iter().map(|s| runs.dev[*s].at(&rows).first_score(runs.task));
            let scores: Vec<f64> = scores.collect::<anyhow::Result<_>>()?;
            order::mean(&scores).context("no seed")
        };
        Ok(mean(a)? - mean(b)?)
    };
    let mut differences: Vec<f64> =
        (0..RESAMPLES).map(difference).collect::<anyhow::Result<_>>()?;
    differences.sort_by(f64::total_cmp);
    let at = |p: f64| differences[(p * (RESAMPLES - 1) as f64).round() as usize];
    Ok([at(0.025), at(0.975)])
}
