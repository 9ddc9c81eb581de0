//! `provenance.json`: where settings come from, and which cells outputs follow from.
//!
//! It stands beside the manifest and not in it: reasons may be reworded, and keys of cells follow the source, while
//! what is expected of the outputs stays the same.

use super::PROVENANCE;
use crate::output;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Version of its format.
const FORMAT: &str = "icl-provenance/2";

/// What a profile's outputs come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// `icl-provenance/2`.
    pub format: String,
    /// Items by id.
    pub items: BTreeMap<String, ItemProvenance>,
}

/// What an item's outputs come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemProvenance {
    /// Settings by name; the manifest has their values.
    pub settings: BTreeMap<String, SettingProvenance>,
    /// Keys of the cells by name, under which the store has their results.
    pub cells: BTreeMap<String, String>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingProvenance {
    /// Tag of its source.
    pub tag: String,
    /// Why it has its value.
    pub reason: String,
    /// What another choice changes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
}

impl Provenance {
    /// The provenance of items.
    pub fn of(items: BTreeMap<String, ItemProvenance>) -> Self {
        Self { format: FORMAT.to_owned(), items }
    }

    /// That in a profile's folder; none if it is missing, damaged or of another format.
    pub fn read(dir: &Path) -> Option<Self> {
        let bytes = output::read(&dir.join(PROVENANCE)).ok()?;
        let read: Self = serde_json::from_slice(&bytes).ok()?;
        (read.format == FORMAT).then_some(read)
    }
}
