//! The item's settings, and the names of what is compared.

use crate::settings::SettingsFile;
use icl_glue::grammar::{Shape, Sizes};
use icl_glue::{PretrainSettings, Task, TuneSettings};
use icl_model::attention;
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    tasks: Vec<String>,
    pub(super) modifications: Vec<String>,
    pub(super) model: Shape,
    /// Documents that are trained on, and documents that are watched.
    pub(super) documents: usize,
    pub(super) watched: usize,
    pub(super) pretraining: PretrainSettings,
    train: usize,
    dev: usize,
    pub(super) tuning: TuneSettings,
    pub(super) seeds: u64,
    pub(super) margin: f64,
    pub(super) masked_words: Bound,
    pub(super) above_floor: Bound,
}

/// A bound of a claim, and whether the claim is expected to hold.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound {
    pub(super) bound: f64,
    pub(super) expected: bool,
}

pub(super) const MAJORITY: &str = "majority";
pub(super) const BAG: &str = "bag of words";
pub(super) const UNTRAINED: &str = "plain, not pre-trained";
pub(super) const PLAIN: &str = "plain";

impl Settings {
    pub(super) fn checked(self, file: &SettingsFile) -> anyhow::Result<Self> {
        for modification in &self.modifications {
            attention::parse(modification)
                .map_err(|e| file.refuse("modifications", &e.to_string(), "known ones"))?;
        }
        for task in &self.tasks {
            task.parse::<Task>().map_err(|e| file.refuse("tasks", &e, "tasks of GLUE"))?;
        }
        if self.train < 2 || self.dev < 2 || self.documents == 0 || self.watched == 0 {
            let found = format!("{}, {}, {}", self.train, self.dev, self.documents);
            return Err(file.refuse("train, dev, documents", &found, "at least 2, 2 and 1"));
        }
        Ok(self)
    }

    pub(super) fn tasks(&self) -> Vec<Task> {
        self.tasks.iter().filter_map(|task| task.parse().ok()).collect()
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes { train: self.train, dev: self.dev }
    }

    /// What is scored, in the order of tables: floors, plain without and with pre-training, modifications.
    pub(super) fn scored(&self) -> Vec<&str> {
        let own = self.modifications.iter().map(String::as_str);
        [MAJORITY, BAG, UNTRAINED, PLAIN].into_iter().chain(own).collect()
    }
}
