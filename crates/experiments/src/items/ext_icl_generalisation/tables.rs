//! What is exported: every measured number, and means over seeds.

use super::measure::Measure;
use super::runs;
use super::{Settings, runs::floor_name};
use crate::named::Named as _;
use artifact::cell::Results;
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::statistics::{Interval, interval};
use artifact::table::Table;

/// All measured numbers.
pub(super) fn runs(settings: &Settings, results: &Results) -> anyhow::Result<Table> {
    let mut names = Vec::new();
    for seed in 0..settings.seeds {
        names.extend(settings.n_demos.iter().map(|n| runs::name(*n, None, seed)));
        let pool = |size: &usize| runs::name(settings.pool_demos, Some(*size), seed);
        names.extend(settings.pools.iter().map(pool));
    }
    Ok(Table::stack("runs", results.each(names)?)?)
}

/// One measure over seeds, of layers with `n` demonstrations trained on a pool (0: every prompt's own task).
pub(super) fn over_seeds(
    runs: &Table,
    [n, pool]: [usize; 2],
    measure: Measure,
    at: usize,
) -> anyhow::Result<Vec<f64>> {
    let columns = [runs.integers("n_demos")?, runs.integers("pool")?, runs.integers("at")?];
    let (measures, values) = (runs.texts("measure")?, runs.floats("value")?);
    let wanted = [n, pool, at];
    let own = |row: &usize| {
        measures[*row] == measure.name()
            && columns.iter().zip(wanted).all(|(column, x)| column[*row] == x as i64)
    };
    Ok((0..runs.rows()).filter(own).map(|row| values[row]).collect())
}

/// Columns of an interval: mean, lower and upper end.
struct Ends([Vec<f64>; 3]);

impl Ends {
    fn new() -> Self {
        Self(Default::default())
    }

    fn push(&mut self, interval: Interval) {
        let row = [interval.mean, interval.lower, interval.upper];
        self.0.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
    }

    fn add(
        self,
        builder: artifact::table::TableBuilder,
        name: &str,
    ) -> artifact::table::TableBuilder {
        let [mean, lower, upper] = self.0;
        builder
            .floats(name, mean)
            .floats(&format!("{name}_lower"), lower)
            .floats(&format!("{name}_upper"), upper)
    }
}

fn integers(list: &[usize]) -> Vec<i64> {
    list.iter().map(|x| *x as i64).collect()
}

/// Loss on fresh tasks against `N`, and the floor of the layer.
pub(super) fn risk(settings: &Settings, runs: &Table, results: &Results) -> anyhow::Result<Table> {
    let (mut risk, mut floor, mut error) = (Ends::new(), Vec::new(), Vec::new());
    for n in &settings.n_demos {
        risk.push(interval::mean(&over_seeds(runs, [*n, 0], Measure::Loss, 0)?)?);
        let found = results.get(&floor_name(*n))?;
        floor.extend(found.floats("floor")?);
        error.extend(found.floats("floor_error")?);
    }
    let builder = Table::builder("risk").integers("n_demos", integers(&settings.n_demos));
    Ok(risk.add(builder, "risk").floats("floor", floor).floats("floor_error", error).build()?)
}

/// For every pool and seed: losses on its own tasks and on fresh ones, and what they say.
///
/// `gap` is the loss on fresh tasks minus that on the pool. Both are taken from it what the layer without a pool has on
/// the same prompts: its expectation is zero, and with it goes what the pool's tasks are harder or easier than others.
/// `regret` is the loss on fresh tasks beyond that layer's.
pub(super) fn gaps(settings: &Settings, runs: &Table) -> anyhow::Result<Table> {
    let n = settings.pool_demos;
    let reference = over_seeds(runs, [n, 0], Measure::Loss, 0)?;
    let (mut pools, mut seeds) = (Vec::new(), Vec::new());
    let mut columns: [Vec<f64>; 5] = Default::default();
    for size in &settings.pools {
        let within = over_seeds(runs, [n, *size], Measure::Loss, *size)?;
        let fresh = over_seeds(runs, [n, *size], Measure::Loss, 0)?;
        let reference_within = over_seeds(runs, [n, 0], Measure::Loss, *size)?;
        for (seed, within) in within.into_iter().enumerate() {
            let by_chance = reference[seed] - reference_within[seed];
            let gap = fresh[seed] - within - by_chance;
            let regret = fresh[seed] - reference[seed];
            pools.push(*size as i64);
            seeds.push(seed as i64);
            let row = [within, fresh[seed], reference[seed], gap, regret];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
    }
    let names = ["within", "fresh", "reference", "gap", "regret"];
    let mut builder = Table::builder("gaps").integers("pool", pools).integers("seed", seeds);
    for (name, column) in names.into_iter().zip(columns) {
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

/// A column of one pool, seed by seed.
pub(super) fn of_pool(gaps: &Table, size: usize, name: &str) -> anyhow::Result<Vec<f64>> {
    let (pools, values) = (gaps.integers("pool")?, gaps.floats(name)?);
    let own = pools.iter().zip(values).filter(|(pool, _)| **pool == size as i64);
    Ok(own.map(|(_, x)| x).collect())
}

/// The loss on fresh tasks of layers trained on pools, compared with that of layers trained without one.
pub(super) fn compared(settings: &Settings, gaps: &Table) -> anyhow::Result<Vec<Comparison>> {
    let one = |size: &usize| -> anyhow::Result<Differences> {
        let fresh = of_pool(gaps, *size, "fresh")?;
        let reference = of_pool(gaps, *size, "reference")?;
        Ok(Differences::relative(&size.to_string(), &fresh, &reference, settings.margin))
    };
    let all: Vec<Differences> = settings.pools.iter().map(one).collect::<anyhow::Result<_>>()?;
    Ok(compare(&all)?)
}

/// Means over seeds for every pool.
pub(super) fn pools(
    settings: &Settings,
    gaps: &Table,
    compared: &[Comparison],
) -> anyhow::Result<Table> {
    let mut builder = Table::builder("pools").integers("pool", integers(&settings.pools));
    for name in ["within", "fresh", "reference", "gap", "regret"] {
        let mut ends = Ends::new();
        for size in &settings.pools {
            ends.push(interval::mean(&of_pool(gaps, *size, name)?)?);
        }
        builder = ends.add(builder, name);
    }
    let p = |of: fn(&Comparison) -> f64| compared.iter().map(of).collect();
    let words: Vec<&str> = compared.iter().map(|one| one.word().text()).collect();
    let table = builder
        .floats("p_difference", p(|one| one.evidence.p_difference))
        .floats("p_equivalence", p(|one| one.evidence.p_equivalence))
        .texts("fresh_against_reference", &words)
        .build()?;
    Ok(table)
}

/// The dual's weights against `N`: their norm, the bound there, and the gap that they have.
pub(super) fn bound(settings: &Settings, runs: &Table) -> anyhow::Result<Table> {
    let mut builder = Table::builder("bound").integers("n_demos", integers(&settings.n_demos));
    for measure in [Measure::Norm, Measure::Bound, Measure::Gap, Measure::Optimism] {
        let mut ends = Ends::new();
        for n in &settings.n_demos {
            ends.push(interval::mean(&over_seeds(runs, [*n, 0], measure, 0)?)?);
        }
        builder = ends.add(builder, measure.name());
    }
    let mut ratio = Ends::new();
    for n in &settings.n_demos {
        ratio.push(interval::mean(&ratios(runs, *n)?)?);
    }
    Ok(ratio.add(builder, "looseness").build()?)
}

/// The bound over the mean gap, seed by seed: layers of different seeds have weights of different sizes.
pub(super) fn ratios(runs: &Table, n: usize) -> anyhow::Result<Vec<f64>> {
    let of = |measure| over_seeds(runs, [n, 0], measure, 0);
    Ok(of(Measure::Bound)?.iter().zip(of(Measure::Gap)?).map(|(bound, gap)| bound / gap).collect())
}
