//! The item's claims: the model learns, beats the floors, and what pre-training and the modifications do.

use super::ITEM;
use super::run::PRETRAINING;
use super::settings::{BAG, MAJORITY, PLAIN, Settings, UNTRAINED};
use super::tables::{Against, Sample, interval, sample};
use anyhow::Context as _;
use artifact::claim::{Claim, Place, at_least, at_most, sampled, tested};
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
        let mean = interval(&above, tasks.len(), 2.0, "grammar-glue/floors")?;
        let name = format!("{}/above-floors", task.id());
        let place = Place { item: ITEM.id, claim: &name, table: "scores" };
        let statement = format!(
            "{}: plain, pre-trained, over the better of majority and bag of words",
            task.id()
        );
        let claim = at_least(place, &statement, mean.mean, settings.above_floor.bound);
        let claim = Claim { expected: settings.above_floor.expected, ..claim };
        claims.push(sampled(claim, [mean.lower, mean.upper]));
    }
    Ok(claims)
}

/// Whether pre-training helps, and whether a modification does, is under test.
pub(super) fn comparisons(all: &[Against]) -> Vec<Claim> {
    let one = |Against { task, comparison }: &Against| {
        let id = task.id();
        let (value, ends) = (comparison.mean, [comparison.lower, comparison.upper]);
        if comparison.name == UNTRAINED {
            let name = format!("{id}/pre-training");
            let place = Place { item: ITEM.id, claim: &name, table: "comparison" };
            let statement =
                format!("{id}: plain has a higher score with pre-training than without");
            let claim = at_least(place, &statement, value, 0.0);
            return Claim { expected: false, ..sampled(claim, ends) };
        }
        let name = format!("{id}/{}", comparison.name);
        let place = Place { item: ITEM.id, claim: &name, table: "comparison" };
        let statement = format!("{id}: {} has a higher score than plain", comparison.name);
        // the difference is plain's score less the setting's
        tested(place, &statement, value, ends, 0.0)
    };
    all.iter().map(one).collect()
}
