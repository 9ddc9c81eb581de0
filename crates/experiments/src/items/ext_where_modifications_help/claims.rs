//! Claims.

use super::ITEM;
use super::outputs::{Group, Run};
use super::settings::{Kind, Settings, alpha};
use artifact::claim::{Claim, Place, Side, at_least, over_seeds, sampled};
use artifact::statistics::comparison::Word;
use artifact::statistics::{Interval, extreme, interval};
use icl_numerics::largest;

pub(super) fn all(settings: &Settings, groups: &[Group]) -> anyhow::Result<Vec<Claim>> {
    let of = |kind: Kind| groups.iter().filter(move |group| group.place.kind == kind);
    let attention: Vec<&Group> = of(Kind::Masked).chain(of(Kind::Guessed)).collect();
    let [masked, guessed] = [Kind::Masked, Kind::Guessed].map(|kind| of(kind).collect::<Vec<_>>());
    let mut claims = vec![floor(&attention)?, ridge(groups)?];
    claims.extend(start("start", Kind::Masked, &masked)?);
    let guessed_start = start("start-guessed", Kind::Guessed, &guessed)?;
    claims.extend(guessed_start.map(|claim| Claim { expected: false, ..claim }));
    claims.extend(masked_regularised(settings, &masked)?);
    claims.extend(predicted(settings, &guessed)?);
    for kind in Kind::ALL {
        let noisy: Vec<&Group> = of(kind).filter(|group| group.place.noise > 0.0).collect();
        claims.extend(settings.modifications(kind).iter().map(|name| wins(kind, name, &noisy)));
    }
    Ok(claims)
}

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// The largest of several estimates over seeds; its interval reaches the outermost end of all of theirs.
fn largest_of(estimates: &[Interval]) -> Interval {
    let mean = largest::value(estimates.iter().map(|one| one.mean));
    let own = estimates.iter().find(|one| one.mean == mean);
    let lower = own.map_or(f64::NAN, |one| one.lower);
    let upper = largest::value(estimates.iter().map(|one| one.upper));
    Interval { mean, lower, upper, n: own.map_or(0, |one| one.n) }
}

fn negative(one: &Interval) -> Interval {
    Interval { mean: -one.mean, lower: -one.upper, upper: -one.lower, n: one.n }
}

/// None if there is no place. With a guess and many exact demonstrations both branches are nearly equal.
fn start(name: &str, kind: Kind, groups: &[&Group]) -> anyhow::Result<Option<Claim>> {
    let mut above = Vec::new();
    for group in groups {
        above.extend(group.others()?);
    }
    if above.is_empty() {
        return Ok(None);
    }
    let (value, ends) = extreme(&above, -1.0);
    let statement = format!(
        "{}: the best weights of the branch in which training starts have the lowest loss of the families that symmetry \
         leaves; what the others lie above it, relative to the target",
        kind.title()
    );
    Ok(Some(sampled(at_least(place(name, "references"), &statement, value, 0.0), ends)))
}

fn floor(groups: &[&Group]) -> anyhow::Result<Claim> {
    let ratio = |group: &&Group| -> anyhow::Result<Interval> {
        let floor = group.floor()?;
        let ratios: Vec<f64> = group.plain.iter().map(|loss| loss / floor).collect();
        Ok(interval::mean_of_several(&ratios, groups.len())?)
    };
    let ratios = groups.iter().map(ratio).collect::<anyhow::Result<Vec<_>>>()?;
    let statement = "Plain reaches the loss of the best weights of the branch in which it starts, on the same prompts: \
                     largest ratio over the places of one attention layer";
    Ok(over_seeds(place("floor", "places"), statement, largest_of(&ratios), Side::AtMost, 1.02))
}

/// The prompts' own error is that of the family's best weights, which trained layers are near.
fn ridge(groups: &[Group]) -> anyhow::Result<Claim> {
    let count = groups.iter().map(|group| group.runs.len() + 1).sum();
    let mut above = Vec::new();
    for group in groups {
        let ridge = group.loss(super::reference::RIDGE, 0.0)?[0];
        let error = 1.96 * group.above_ridge()?[1];
        for losses in group.runs.iter().map(|run| &run.losses).chain([&group.plain]) {
            let excess: Vec<f64> = losses.iter().map(|loss| loss - ridge).collect();
            let Interval { mean, lower, upper, n } = interval::mean_of_several(&excess, count)?;
            let wider = |end: f64| ((end - mean) * (end - mean) + error * error).sqrt();
            above.push(Interval {
                mean,
                lower: mean - wider(lower),
                upper: mean + wider(upper),
                n,
            });
        }
    }
    let least = negative(&largest_of(&above.iter().map(negative).collect::<Vec<_>>()));
    let statement = "No layer is below the mean of the answer given the prompt (ridge): least distance over all settings \
                     and places, relative to the target";
    Ok(over_seeds(place("ridge", "places"), statement, least, Side::AtLeast, 0.0))
}

fn masked_regularised(settings: &Settings, groups: &[&Group]) -> anyhow::Result<Option<Claim>> {
    let mut changes = Vec::new();
    for group in groups {
        for run in group.runs.iter().filter(|run| alpha(&run.setting).is_some()) {
            changes.push(size_of_change(settings, group, run)?);
        }
    }
    let statement = "With a masked label regularised attention is equivalent to plain attention, with and without noise on \
                     labels: largest change relative to plain";
    let place = place("masked-regularised", "comparisons");
    let largest = || largest_of(&changes);
    Ok((!changes.is_empty())
        .then(|| over_seeds(place, statement, largest(), Side::AtMost, settings.margin)))
}

/// `|change|` with its interval at the level of all regularised settings of the masked prompts.
fn size_of_change(settings: &Settings, group: &Group, run: &Run) -> anyhow::Result<Interval> {
    let count = settings.places(Kind::Masked).len() * settings.masked.len();
    let plain = group.plain_mean();
    let ratios: Vec<f64> =
        run.losses.iter().zip(&group.plain).map(|(a, b)| 1.0 + (a - b) / plain).collect();
    Ok(interval::mean_of_several(&ratios, count)?.distance_from_one())
}

fn predicted(settings: &Settings, groups: &[&Group]) -> anyhow::Result<Option<Claim>> {
    let (mut right, mut all) = (0, 0);
    for group in groups {
        for run in &group.runs {
            let Some(alpha) = alpha(&run.setting) else { continue };
            let predicted = group.predicted(alpha)?;
            if predicted.abs() > settings.margin {
                all += 1;
                right += usize::from(predicted * run.change.mean > 0.0);
            }
        }
    }
    let statement = "With a guess in the place of the query's label regularised attention changes the loss in the direction \
                     in which it moves the best weights, wherever that is by more than the margin: share of places and \
                     strengths";
    let share = f64::from(right as u32) / f64::from(all as u32);
    let share = Interval { mean: share, lower: share, upper: share, n: settings.seeds as usize };
    let place = place("predicted", "comparisons");
    Ok((all > 0).then(|| over_seeds(place, statement, share, Side::AtLeast, 1.0).with_best(1.0)))
}

fn wins(kind: Kind, setting: &str, groups: &[&Group]) -> Claim {
    let runs = || groups.iter().flat_map(|group| &group.runs).filter(|run| run.setting == setting);
    let better = runs().filter(|run| run.comparison.word() == Word::Better).count();
    let seeds = runs().map(|run| run.losses.len()).min().unwrap_or(0);
    let value = f64::from(better as u32);
    let count = Interval { mean: value, lower: value, upper: value, n: seeds };
    let statement = format!(
        "{}, noise on labels: {setting} is better than plain at one place or more",
        kind.title()
    );
    let name = format!("{}/{setting}", kind.name());
    let claim = over_seeds(place(&name, "comparisons"), &statement, count, Side::AtLeast, 1.0);
    Claim { expected: false, ..claim }
}
