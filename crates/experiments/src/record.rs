//! `run.json`: what belongs to a run and to no output. It says for every item by which source, and from which
//! cells, its outputs were made.

use artifact::digest::sha256;
use artifact::manifest::RUN;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Digest of the sources that can change an output.
pub(crate) const SOURCE_DIGEST: &str = env!("ICL_SOURCE_DIGEST");
/// Digest of the sources that can change a cell's numbers; what only draws and judges them is not in it.
pub(crate) const CELL_DIGEST: &str = env!("ICL_CELL_DIGEST");

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRecord {
    /// Seconds of the run.
    pub(crate) seconds: f64,
    /// Threads.
    pub(crate) jobs: usize,
    /// Instruction set.
    pub(crate) isa: String,
    /// Largest resident memory, where the system says it.
    pub(crate) peak_memory_mib: Option<f64>,
    /// Items by id, also those of earlier runs that are still there.
    pub(crate) items: BTreeMap<String, ItemRecord>,
}

/// The run that made an item's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemRecord {
    /// Cells computed then.
    pub(crate) computed: usize,
    /// Cells restored from the store.
    pub(crate) restored: usize,
    /// Seconds of one thread over the computed cells.
    pub(crate) cell_seconds: f64,
    /// Digest of the program's source.
    pub(crate) source_digest: String,
    /// [`assembled`] of the outputs.
    pub(crate) assembled: String,
    /// The GPU that trained runs of the computed cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gpu: Option<String>,
}

impl ItemRecord {
    /// The GPU that had a part in the item, or the CPU.
    pub(crate) fn device(&self) -> &str {
        self.gpu.as_deref().unwrap_or("cpu")
    }
}

impl RunRecord {
    /// The record in a profile's folder; none if it is missing or damaged.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&artifact::output::read(&dir.join(RUN)).ok()?).ok()
    }
}

/// SHA-256 over all that an item's outputs follow from: source, settings, and its cells' results in order.
pub(crate) fn assembled<'a>(
    settings: &Value,
    results: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let results: Vec<(&str, &str)> = results.into_iter().collect();
    sha256(json!([SOURCE_DIGEST, settings, results]).to_string().as_bytes())
}
