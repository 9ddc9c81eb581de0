//! The item's claims: the model learns, beats the floors, and what pre-training and the modifications do.

use super::ITEM;
use super::run::PRETRAINING;
use super::settings::{BAG, MAJORITY, PLAIN, Settings, UNTRAINED};
use super::tables::{Against, Sample, sample};
use anyhow::Context as _;
use artifact::claim::{Claim, Place, Side, at_most, compared, over_seeds};
use artifact::statistics::comparison::Comparison;
use artifact::statistics::{Interval, interval};
use artifact::table::Table;
use icl_numerics::largest;

/// The loss on watched documents at the end of the pre-training.
pub(super) fn masked_words(settings: &Settings, curve: &Table) -> anyhow::Result<Claim> {
    let last = curve.floats("relative_loss")?.last().copied().context("an empty curve")?;
    let place = Place { item: ITEM.id, claim: "masked-words", table: PRETRAINING };
    let statement = "Loss of masked words after pre-training, relative to the uniform guess";
    let claim = at_most(place, statement, last, settings.masked_words.bound);
    Ok(Claim { expected: settings.masked_words.expected, ..claim })
}

/// Plain after pre-training against the better of the two floors, seed by seed, at Bonferroni's level over the tasks.
pub(super) fn above_floors(settings: &Settings, samples: &[Sample]) -> anyhow::Result<Vec<Claim>> {
    let tasks = settings.tasks();
    let mut claims = Vec::new();
    for task in &tasks {
        let of = |setting| sample(samples, *task, setting).map(|sample| &sample.scores);
        let (plain, majority, bag) = (of(PLAIN)?, of(MAJORITY)?, of(BAG)?);
        let floors = majority.iter().zip(bag).map(|(a, b)| largest::at_least(*a, *b));
        let above: Vec<f64> =
            plain.iter().zip(floors).map(|(plain, floor)| plain - floor).collect();
        let mean = interval::mean_of_several(&above, tasks.len())?;
        let name = format!("{}/above-floors", task.id());
        let place = Place { item: ITEM.id, claim: &name, table: "scores" };
        let statement = format!(
            "{}: plain, pre-trained, over the better of majority and bag of words",
            task.id()
        );
        let bound = settings.above_floor.bound;
        let claim = over_seeds(place, &statement, mean, Side::AtLeast, bound);
        claims.push(Claim { expected: settings.above_floor.expected, ..claim });
    }
    Ok(claims)
}

/// Whether pre-training helps, and whether a modification does, is under test.
pub(super) fn comparisons(all: &[Against]) -> Vec<Claim> {
    let one = |Against { task, comparison }: &Against| {
        let id = task.id();
        if comparison.name == UNTRAINED {
            let name = format!("{id}/pre-training");
            let place = Place { item: ITEM.id, claim: &name, table: "comparison" };
            let statement =
                format!("{id}: plain has a higher score with pre-training than without");
            // the table's difference is plain's score less that of the setting without
            return compared(place, &statement, &turned(comparison));
        }
        let name = format!("{id}/{}", comparison.name);
        let place = Place { item: ITEM.id, claim: &name, table: "comparison" };
        let statement = format!("{id}: {} has a higher score than plain", comparison.name);
        compared(place, &statement, comparison)
    };
    all.iter().map(one).collect()
}

/// The comparison of plain with the setting.
fn turned(comparison: &Comparison) -> Comparison {
    let Interval { mean, lower, upper, n } = comparison.difference;
    let difference = Interval { mean: -mean, lower: -upper, upper: -lower, n };
    Comparison { difference, ..comparison.clone() }
}
