//! What every variation did: losses by seed, and the comparisons of all of them together.

use super::cell::{IDENTITY, LOSS, name, references};
use super::settings::{BASE, PLAIN, Settings, Variation};
use crate::cells::references::References;
use anyhow::Context as _;
use artifact::cell::Results;
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::statistics::{Interval, interval};
use icl_numerics::largest;

/// One setting of a variation.
pub(super) struct Run {
    pub(super) modification: String,
    /// Losses on the final prompts over the target's variance there, by seed.
    pub(super) losses: Vec<f64>,
    /// Largest distance of a layer from its dual over the seeds.
    pub(super) identity: f64,
}

/// A variation with its runs.
pub(super) struct Effect<'a> {
    pub(super) name: &'a str,
    pub(super) variation: &'a Variation,
    /// Plain first, unless the base's is compared with.
    pub(super) runs: Vec<Run>,
    /// The losses of the plain layer that the runs are compared with.
    pub(super) plain: Vec<f64>,
    /// Loss of the best predictor that looks at no input, over the target's variance.
    pub(super) trivial: f64,
    /// Every run but plain, with plain.
    pub(super) comparisons: Vec<Comparison>,
}

impl Effect<'_> {
    /// Plain's mean loss with its interval over seeds.
    pub(super) fn plain(&self) -> anyhow::Result<Interval> {
        Ok(interval::mean(&self.plain)?)
    }

    /// The runs that are compared with plain.
    pub(super) fn compared(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.modification != PLAIN)
    }
}

/// All variations in their order.
pub(super) fn effects<'a>(
    settings: &'a Settings,
    results: &Results,
) -> anyhow::Result<Vec<Effect<'a>>> {
    let mut effects: Vec<Effect<'a>> = Vec::new();
    for (name, variation) in settings.variations() {
        let own = variation.has_own_plain();
        let of = References::of(
            results.get(&references(if own { name } else { BASE }))?,
            crate::cells::training::FINAL,
        )?;
        let runs: Vec<Run> = settings
            .runs(variation)
            .into_iter()
            .map(|modification| run(settings, results, [name, modification], of.square()?))
            .collect::<anyhow::Result<_>>()?;
        let plain = match runs.iter().find(|run| run.modification == PLAIN) {
            Some(own) => own.losses.clone(),
            None => plain_of_base(&effects)?,
        };
        let (trivial, comparisons) = (of.best_trivial()?.1, Vec::new());
        effects.push(Effect { name, variation, runs, plain, trivial, comparisons });
    }
    compare_all(settings, &mut effects)?;
    Ok(effects)
}

fn plain_of_base(effects: &[Effect<'_>]) -> anyhow::Result<Vec<f64>> {
    let base = effects.first().with_context(|| format!("`{BASE}` is not the first variation"))?;
    Ok(base.plain.clone())
}

/// The runs of a setting; `square` is `E[s^2] / Var(s)` of the final prompts.
fn run(
    settings: &Settings,
    results: &Results,
    [variation, modification]: [&str; 2],
    square: f64,
) -> anyhow::Result<Run> {
    let (mut losses, mut identities) = (Vec::new(), Vec::new());
    for seed in 0..settings.seeds {
        let result = results.get(&name(variation, modification, seed))?;
        losses.extend(result.floats(LOSS)?.into_iter().map(|loss| loss * square));
        identities.extend(result.floats(IDENTITY)?);
    }
    let identity = largest::value(identities);
    Ok(Run { modification: modification.to_owned(), losses, identity })
}

/// Every modification with plain, all of the item in one family.
fn compare_all(settings: &Settings, effects: &mut [Effect<'_>]) -> anyhow::Result<()> {
    let all: Vec<Differences> = effects
        .iter()
        .flat_map(|effect| {
            effect.compared().map(|run| {
                let (name, margin) = (&run.modification, settings.margin);
                Differences::relative(name, &run.losses, &effect.plain, margin)
            })
        })
        .collect();
    let mut comparisons = compare(&all)?.into_iter();
    for effect in effects {
        let count = effect.compared().count();
        effect.comparisons = comparisons.by_ref().take(count).collect();
    }
    Ok(())
}
