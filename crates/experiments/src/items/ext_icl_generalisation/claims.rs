//! The claims.

use super::measure::Measure;
use super::tables::{of_pool, over_seeds, ratios};
use super::{ITEM, Settings};
use artifact::claim::{self, Claim, Place, Side, compared};
use artifact::statistics::comparison::Comparison;
use artifact::statistics::{Interval, interval, log_slope};
use artifact::table::Table;
use icl_numerics::{largest, order};

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

pub(super) fn claims(
    settings: &Settings,
    runs: &Table,
    gaps: &Table,
    comparisons: &[Comparison],
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = vec![risk_falls(settings, runs)?];
    claims.extend(gap_falls(settings, gaps)?);
    claims.push(largest_pool(settings, gaps)?);
    claims.extend(bound_holds(settings, runs)?);
    let mut claims: Vec<Claim> = claims
        .into_iter()
        .map(|one| Claim { expected: settings.expected && one.expected, ..one })
        .collect();
    for (size, comparison) in settings.pools.iter().zip(comparisons) {
        let name = format!("tasks-{size}");
        let statement = format!(
            "Loss on fresh tasks after training on {size} tasks, minus that after training without a pool"
        );
        claims.push(compared(place(&name, "gaps"), &statement, comparison));
    }
    Ok(claims)
}

/// The largest of several estimates over the same seeds (`sign` 1) or the smallest (`sign` -1), with an interval that
/// reaches the outermost end of all.
fn outermost(all: &[Interval], sign: f64) -> Interval {
    let best = largest::value(all.iter().map(|one| sign * one.mean));
    let own = all.iter().find(|one| sign * one.mean == best);
    let outer = |one: &Interval| if sign > 0.0 { one.upper } else { -one.lower };
    let end = sign * largest::value(all.iter().map(outer));
    let (lower, upper) = own.map_or((f64::NAN, f64::NAN), |one| (one.lower, one.upper));
    let n = own.map_or(0, |one| one.n);
    let ends = if sign > 0.0 { (lower, end) } else { (end, upper) };
    Interval { mean: sign * best, lower: ends.0, upper: ends.1, n }
}

fn risk_falls(settings: &Settings, runs: &Table) -> anyhow::Result<Claim> {
    let risk = |n: usize| over_seeds(runs, [n, 0], Measure::Loss, 0);
    let mut ratios = Vec::new();
    for pair in settings.n_demos.windows(2) {
        ratios.push(interval::ratio(&risk(pair[1])?, &risk(pair[0])?)?);
    }
    let statement =
        "Risk with the next number of demonstrations over that with the one before: largest ratio";
    let worst = outermost(&ratios, 1.0);
    Ok(claim::over_seeds(place("risk", "runs"), statement, worst, Side::AtMost, 1.0))
}

fn gap_falls(settings: &Settings, gaps: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut ratios = Vec::new();
    for pair in settings.pools.windows(2) {
        let (more, fewer) = (of_pool(gaps, pair[1], "gap")?, of_pool(gaps, pair[0], "gap")?);
        ratios.push(interval::ratio(&more, &fewer)?);
    }
    let falls = "Gap between fresh tasks and the pool's with the next number of tasks over that with the one before: largest ratio";
    let worst = outermost(&ratios, 1.0);
    let slope = slope(settings, gaps)?;
    let halves = "Twice the part of the gap that is a higher risk, over the gap, from 64 tasks on: distance from one";
    let steep = "Slope of the gap against the number of tasks, both logarithmic, from 64 tasks on";
    Ok(vec![
        claim::over_seeds(place("gap-falls", "gaps"), falls, worst, Side::AtMost, 1.0),
        claim::over_seeds(
            place("halves", "gaps"),
            halves,
            parts(settings, gaps)?,
            Side::AtMost,
            0.2,
        ),
        claim::over_seeds(place("slope-low", "gaps"), steep, slope, Side::AtLeast, -1.2),
        claim::over_seeds(place("slope-high", "gaps"), steep, slope, Side::AtMost, -0.8),
    ])
}

/// Columns of pools that are large against the number of parameters that they determine, seed by seed.
fn large_pools(
    settings: &Settings,
    gaps: &Table,
    name: &str,
) -> anyhow::Result<Vec<(f64, Vec<f64>)>> {
    let large = settings.pools.iter().filter(|size| **size >= 64);
    large.map(|size| Ok((*size as f64, of_pool(gaps, *size, name)?))).collect()
}

/// Slope of the logarithm of the mean gap, with the interval of its jackknife over seeds: one seed's gap may lie below zero.
/// A mean that does counts as the smallest number, and makes the slope steeper than any claim allows.
fn slope(settings: &Settings, gaps: &Table) -> anyhow::Result<Interval> {
    let columns = large_pools(settings, gaps, "gap")?;
    let sizes: Vec<f64> = columns.iter().map(|(size, _)| *size).collect();
    let without = |left_out: Option<usize>| {
        let mean = |column: &[f64]| {
            let kept = column.iter().enumerate().filter(|(seed, _)| Some(*seed) != left_out);
            let mean = order::mean(&kept.map(|(_, gap)| *gap).collect::<Vec<f64>>());
            largest::at_least(mean.unwrap_or(f64::NAN), f64::MIN_POSITIVE)
        };
        log_slope(&sizes, &columns.iter().map(|(_, column)| mean(column)).collect::<Vec<f64>>())
    };
    let (seeds, whole) = (settings.seeds as usize, without(None));
    if seeds < 2 {
        return Ok(interval::mean(&[whole])?);
    }
    let pseudo = |seed| seeds as f64 * whole - (seeds - 1) as f64 * without(Some(seed));
    Ok(interval::mean(&(0..seeds).map(pseudo).collect::<Vec<f64>>())?)
}

/// How far the two parts of the gap, a lower loss on the pool and a higher risk, are from halves.
fn parts(settings: &Settings, gaps: &Table) -> anyhow::Result<Interval> {
    let summed = |name: &str| -> anyhow::Result<Vec<f64>> {
        let columns = large_pools(settings, gaps, name)?;
        let one = |seed: usize| columns.iter().map(|(_, column)| column[seed]).sum();
        Ok((0..settings.seeds as usize).map(one).collect())
    };
    let twice: Vec<f64> = summed("regret")?.iter().map(|x| 2.0 * x).collect();
    Ok(interval::ratio(&twice, &summed("gap")?)?.distance_from_one())
}

fn largest_pool(settings: &Settings, gaps: &Table) -> anyhow::Result<Claim> {
    let last = settings.pools[settings.pools.len() - 1];
    let gap = interval::ratio(&of_pool(gaps, last, "gap")?, &of_pool(gaps, last, "reference")?)?;
    let statement = format!("Gap after training on {last} tasks, relative to the risk");
    Ok(claim::over_seeds(
        place("gap-small", "gaps"),
        &statement,
        gap,
        Side::AtMost,
        settings.margin,
    ))
}

/// The bound at the norm of the weights that the dual has, against the gap that these weights have.
fn bound_holds(settings: &Settings, runs: &Table) -> anyhow::Result<Vec<Claim>> {
    let columns: Vec<(usize, Vec<f64>)> = settings
        .n_demos
        .iter()
        .map(|n| Ok((*n, ratios(runs, *n)?)))
        .collect::<anyhow::Result<_>>()?;
    let smallest = |from: usize| -> anyhow::Result<Interval> {
        let some = columns.iter().filter(|(n, _)| *n >= from);
        let all = some.map(|(_, ratios)| interval::mean_of_several(ratios, columns.len()));
        Ok(outermost(&all.collect::<Result<Vec<_>, _>>()?, -1.0))
    };
    let large: Vec<&(usize, Vec<f64>)> =
        columns.iter().filter(|(n, _)| *n >= settings.bound_demos).collect();
    let n: Vec<f64> = large.iter().map(|(n, _)| *n as f64).collect();
    let slope = |seed: usize| {
        let ratios: Vec<f64> = large.iter().map(|(_, ratios)| ratios[seed]).collect();
        log_slope(&n, &ratios)
    };
    let slopes: Vec<f64> = (0..settings.seeds as usize).map(slope).collect();
    let slopes = interval::mean(&slopes)?;
    let from = settings.bound_demos;
    let holds =
        format!("Bound at the dual's own norm over its mean gap: smallest over N >= {from}");
    let grows = format!("Slope of that ratio against N, both logarithmic, N >= {from}");
    let everywhere = "Bound at the dual's own norm over its mean gap: smallest over all N";
    let everywhere = claim::over_seeds(
        place("bound-everywhere", "runs"),
        everywhere,
        smallest(0)?,
        Side::AtLeast,
        1.0,
    );
    Ok(vec![
        claim::over_seeds(place("bound", "runs"), &holds, smallest(from)?, Side::AtLeast, 1.0),
        claim::over_seeds(place("looseness", "runs"), &grows, slopes, Side::AtLeast, 0.0),
        Claim { expected: false, ..everywhere },
    ])
}
