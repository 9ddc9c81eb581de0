//! What was trained at every place beside what its prompts allow; tables, figure and claims from it.

use super::reference::{self, RIDGE};
use super::settings::{Kind, PLAIN, Place, Settings};
use crate::cells::training;
use anyhow::Context as _;
use artifact::cell::Results;
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::statistics::{Interval, interval};
use artifact::table::Table;
use icl_numerics::order;

/// A setting at a place.
pub(super) struct Run {
    pub(super) setting: String,
    /// Relative losses by seed.
    pub(super) losses: Vec<f64>,
    pub(super) comparison: Comparison,
    /// Mean difference to plain relative to plain's mean loss.
    pub(super) change: Interval,
}

/// A place with all that is known of it.
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) plain: Vec<f64>,
    pub(super) runs: Vec<Run>,
    /// The predictors of the place.
    pub(super) references: Table,
}

/// A number of a predictor with its standard error.
pub(super) type Estimate = [f64; 2];

impl Group {
    pub(super) fn plain_mean(&self) -> f64 {
        order::mean(&self.plain).unwrap_or(f64::NAN)
    }

    /// Whether no group before it has the same prompts.
    pub(super) fn has_own_prompts(&self, groups: &[Self]) -> bool {
        let name = self.place.reference_name();
        let first = groups.iter().find(|group| group.place.reference_name() == name);
        first.is_some_and(|group| group.place == self.place)
    }

    /// A column of a predictor, and the next column if it is an error.
    fn number(&self, predictor: &str, alpha: f64, columns: [&str; 2]) -> anyhow::Result<Estimate> {
        let names = self.references.texts("predictor")?;
        let alphas = self.references.floats("alpha")?;
        let row = (0..names.len()).find(|i| names[*i] == predictor && alphas[*i] == alpha);
        let row = row.with_context(|| format!("{predictor}, alpha {alpha}: no such predictor"))?;
        let [value, error] = columns.map(|column| self.references.floats(column));
        Ok([value?[row], error?[row]])
    }

    /// Relative loss of a predictor.
    pub(super) fn loss(&self, predictor: &str, alpha: f64) -> anyhow::Result<Estimate> {
        self.number(predictor, alpha, ["relative_loss", "standard_error"])
    }

    /// How far the best weights of the branch in which training starts lie above ridge.
    pub(super) fn above_ridge(&self) -> anyhow::Result<Estimate> {
        let start = self.place.start_branch();
        self.number(start, 0.0, ["above_ridge", "above_ridge_error"])
    }

    /// How far every other family lies above that branch.
    pub(super) fn others(&self) -> anyhow::Result<Vec<Estimate>> {
        let names = self.references.texts("predictor")?;
        let alphas = self.references.floats("alpha")?;
        let start = self.place.start_branch();
        let others = names.iter().zip(alphas).filter(|(name, alpha)| {
            let regularised = *alpha != 0.0 && *name != reference::BY_LABELS;
            *name != RIDGE && *name != start && !regularised
        });
        let above = |(name, alpha): (&String, f64)| {
            self.number(name, alpha, ["above_start", "above_start_error"])
        };
        others.map(above).collect()
    }

    /// Loss of the best weights of the branch in which training starts, plain.
    pub(super) fn floor(&self) -> anyhow::Result<f64> {
        Ok(self.loss(self.place.start_branch(), 0.0)?[0])
    }

    /// The change of that loss by a regularised setting, relative to plain's.
    pub(super) fn predicted(&self, alpha: f64) -> anyhow::Result<f64> {
        Ok(self.loss(self.place.start_branch(), alpha)?[0] / self.floor()? - 1.0)
    }
}

/// A place, losses of plain, losses of the settings by name, predictors.
type Collected = (Place, Vec<f64>, Vec<(String, Vec<f64>)>, Table);

pub(super) fn collect(settings: &Settings, results: &Results) -> anyhow::Result<Vec<Group>> {
    let at = |place: Place| -> anyhow::Result<Collected> {
        let losses = |setting: &str| -> anyhow::Result<Vec<f64>> {
            let names = (0..settings.seeds).map(|seed| place.run_name(setting, seed));
            training::finals(&results.each(names)?)
        };
        let of = |name: &String| Ok((name.clone(), losses(name)?));
        let modified: Vec<(String, Vec<f64>)> =
            settings.modifications(place.kind).iter().map(of).collect::<anyhow::Result<_>>()?;
        let references = results.get(&place.reference_name())?.clone();
        Ok((place, losses(PLAIN)?, modified, references))
    };
    let places = Kind::ALL.into_iter().flat_map(|kind| settings.places(kind));
    let all: Vec<Collected> = places.map(at).collect::<anyhow::Result<_>>()?;
    let differences = |(_, plain, modified, _): &Collected| {
        let one = |(name, losses): &(String, Vec<f64>)| {
            Differences::relative(name, losses, plain, settings.margin)
        };
        modified.iter().map(one).collect::<Vec<_>>()
    };
    // Holm's level is that of all comparisons of the item
    let differences: Vec<Differences> = all.iter().flat_map(differences).collect();
    let mut comparisons = compare(&differences)?.into_iter();
    let group = |(place, plain, modified, references): Collected| {
        let scale = 1.0 / order::mean(&plain).unwrap_or(f64::NAN);
        let found = comparisons.by_ref().take(modified.len()).collect::<Vec<_>>();
        let run = |((setting, losses), comparison): ((String, Vec<f64>), Comparison)| {
            let relative: Vec<f64> =
                losses.iter().zip(&plain).map(|(a, b)| scale * (a - b)).collect();
            Ok(Run { setting, losses, comparison, change: interval::mean(&relative)? })
        };
        let runs = modified.into_iter().zip(found).map(run).collect::<anyhow::Result<_>>()?;
        Ok(Group { place, plain, runs, references })
    };
    all.into_iter().map(group).collect()
}
