//! The settings: a base, and its variations, each with what it varies and how.

use crate::item::Context;
use crate::settings::SettingsFile;
use anyhow::Context as _;
use icl_model::adam::Course;
use icl_model::attention;
use icl_model::settings::{Start, TrainSettings};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Attention without a modification.
pub(super) const PLAIN: &str = "plain";
/// The variation that changes nothing.
pub(crate) const BASE: &str = "base";

/// The settings of a profile. Every name that is none of the fields is a variation.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Settings {
    /// Variations in the order of tables and figure; the first is [`BASE`].
    variations: Vec<String>,
    /// One of each kind: at most one of an id.
    pub(super) modifications: Vec<String>,
    /// Smallest difference of interest, relative to plain.
    pub(super) margin: f64,
    steps: usize,
    batch: usize,
    schedule: Course,
    start: Start,
    /// Prompts after training.
    pub(super) n_final: usize,
    /// Held-out prompts on which layer and dual are compared.
    pub(super) prompts: usize,
    pub(super) seeds: u64,
    #[serde(flatten)]
    known: BTreeMap<String, Variation>,
}

/// A gap that is filled otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variation {
    /// What sources say of the setting.
    pub(super) source: String,
    /// What the base has.
    pub(super) chosen: String,
    /// What is tried here.
    pub(super) tried: String,
    /// Settings of the training that are other than the base's, in the form of [`TrainSettings`].
    #[serde(default)]
    set: serde_json::Map<String, serde_json::Value>,
    /// The schedule, where it is other than the base's.
    schedule: Option<Course>,
    /// Factors on the base's steps and prompts per step.
    #[serde(default = "one")]
    steps_times: f64,
    #[serde(default = "one")]
    batch_times: f64,
    /// A modification in place of the base's own one of its id, which is compared with the base's plain.
    modification: Option<String>,
}

impl Variation {
    /// Whether it changes the layer or its training, so that plain is trained anew.
    pub(super) fn has_own_plain(&self) -> bool {
        self.modification.is_none()
    }
}

fn one() -> f64 {
    1.0
}

/// The kind of a modification: its name without options.
pub(super) fn kind(modification: &str) -> &str {
    modification.split(':').next().unwrap_or(modification)
}

impl Settings {
    /// Reads and checks them.
    pub(super) fn read(file: &SettingsFile, context: Context) -> anyhow::Result<Self> {
        let settings: Self = file.typed(context.profile)?;
        for name in &settings.variations {
            if !settings.known.contains_key(name) {
                let known: Vec<&str> = settings.known.keys().map(String::as_str).collect();
                return Err(file.refuse("variations", name, &known.join(", ")));
            }
        }
        if settings.variations.first().is_none_or(|name| name != BASE) {
            return Err(file.refuse("variations", "another first one", BASE));
        }
        if !(settings.margin > 0.0 && settings.margin < 1.0) {
            return Err(file.refuse("margin", &settings.margin.to_string(), "between 0 and 1"));
        }
        let kinds: Vec<&str> = settings.modifications.iter().map(|m| kind(m)).collect();
        let own = settings.known.values().filter_map(|one| one.modification.as_deref());
        for name in settings.modifications.iter().map(String::as_str).chain(own) {
            attention::parse(name)
                .map_err(|e| file.refuse("modifications", &e.to_string(), "known ones"))?;
            if kinds.iter().filter(|other| **other == kind(name)).count() != 1 {
                return Err(file.refuse("modifications", name, "one of each kind in the base"));
            }
        }
        Ok(settings)
    }

    /// The variations in their order, with their names.
    pub(super) fn variations(&self) -> impl Iterator<Item = (&str, &Variation)> {
        self.variations.iter().filter_map(|name| Some((name.as_str(), self.known.get(name)?)))
    }

    /// The settings that a variation trains with, plain first: all of the base's, or its own one.
    pub(super) fn runs<'a>(&'a self, variation: &'a Variation) -> Vec<&'a str> {
        match &variation.modification {
            Some(own) => vec![own],
            None => std::iter::once(PLAIN)
                .chain(self.modifications.iter().map(String::as_str))
                .collect(),
        }
    }

    /// A training run.
    pub(super) fn train(
        &self,
        variation: &Variation,
        modification: &str,
        seed: u64,
    ) -> anyhow::Result<TrainSettings> {
        let base = TrainSettings {
            modification: modification.to_owned(),
            start: self.start,
            n_validation: self.prompts.max(16),
            seed,
            ..TrainSettings::base()
        };
        let mut value = serde_json::to_value(&base)?;
        replace(&mut value, &serde_json::Value::Object(variation.set.clone()));
        let mut train: TrainSettings =
            serde_path_to_error::deserialize(value).context("settings of a training run")?;
        train.steps = (self.steps as f64 * variation.steps_times).round() as usize;
        // groups of sixteen prompts
        train.batch = 16 * (self.batch as f64 * variation.batch_times / 16.0).round() as usize;
        let course = variation.schedule.unwrap_or(self.schedule);
        train.adam.schedule = course.over(train.steps);
        train.validate_every = train.steps.max(1);
        train.check()?;
        Ok(train)
    }
}

/// Replaces entries of `value` by those of `by`, table by table.
fn replace(value: &mut serde_json::Value, by: &serde_json::Value) {
    match (value.as_object_mut(), by.as_object()) {
        (Some(value), Some(by)) => {
            for (name, by) in by {
                replace(value.entry(name.clone()).or_insert(serde_json::Value::Null), by);
            }
        }
        _ => *value = by.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_replaced_table_by_table_and_new_ones_added() {
        let mut value = serde_json::json!({ "a": { "b": 1, "c": 2 }, "d": "e" });
        let by = serde_json::json!({ "a": { "c": 3 }, "d": { "f": 4 }, "g": 5 });
        replace(&mut value, &by);
        let want = serde_json::json!({ "a": { "b": 1, "c": 3 }, "d": { "f": 4 }, "g": 5 });
        assert_eq!(value, want);
    }
}
