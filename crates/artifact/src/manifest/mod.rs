//! The manifest of a profile's outputs, its `SHA256SUMS`, and their publication as one folder.
//!
//! The manifest is a function of source and settings; what belongs to one run (times, host, the words for
//! settings, keys of cells) goes to `run.json`, `host.json` and `provenance.json`, whose digests
//! `RUN.SHA256SUMS` holds. The root hash is the SHA-256 of `SHA256SUMS`.

mod provenance;
mod publish;
mod sums;

pub use provenance::{ItemProvenance, Provenance, SettingProvenance};
pub use publish::{is_published, listed, publish};
pub use sums::{LineFault, SUMS_LINE, parse_sums, sums};

use crate::digest::sha256;
use crate::table::{ColumnType, Table};
use crate::tolerance::Tolerance;
use crate::{ArtifactError, Class, Place, output};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Version of the manifest's format.
pub const FORMAT: &str = "icl-artifact/2";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
pub use crate::json::canonical_json;
pub use crate::output::SUMS;

/// Name of the run's record.
pub const RUN: &str = "run.json";
/// Name of the description of the host.
pub const HOST: &str = "host.json";
/// Name of where settings and cells come from, see [`Provenance`].
pub const PROVENANCE: &str = "provenance.json";
/// The page that shows a folder's outputs; it belongs to no list.
pub const REPORT: &str = "report/index.html";
/// First line of such a page.
const REPORT_MARK: &[u8] = b"<!-- icl report -->";

/// Whether the page in `dir` is one of ours.
pub fn is_own_report(dir: &Path) -> bool {
    output::read(&dir.join(REPORT)).is_ok_and(|page| page.starts_with(REPORT_MARK))
}

/// What belongs to one run.
pub const RUN_FILES: [&str; 3] = [HOST, PROVENANCE, RUN];
/// Name of the list of their digests.
pub const RUN_SUMS: &str = "RUN.SHA256SUMS";

/// What a profile's output folder holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// Profile of the run.
    pub profile: String,
    /// Name and version of the random number generator.
    pub generator: String,
    /// Items by id.
    pub items: BTreeMap<String, ManifestItem>,
}

/// One item's outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestItem {
    /// The picture or table of the paper that it answers.
    pub paper: String,
    /// Its claim.
    pub claim: String,
    /// Every setting used.
    pub settings: Value,
    /// Tables by path.
    pub tables: BTreeMap<String, TableEntry>,
    /// Captions of the figures by id: the finding, what is shown, and how often it was drawn.
    pub captions: BTreeMap<String, String>,
    /// Figures by path, and LaTeX fragments of figures and tables.
    pub figures: BTreeMap<String, FigureEntry>,
    /// Path and digest of the claims.
    pub claims: FileEntry,
}

/// A file and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Path inside the folder.
    pub path: String,
    /// SHA-256.
    pub sha256: String,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEntry {
    /// SHA-256 of the CSV.
    pub sha256: String,
    /// Rows without the header.
    pub rows: usize,
    /// What is promised of its bits.
    pub class: Class,
    /// Columns in order.
    pub columns: Vec<ColumnEntry>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnEntry {
    /// Name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// What the level `tolerance` allows; none: only equal entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
}

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureEntry {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Tables that it shows.
    pub drawn_from: Vec<String>,
}

impl TableEntry {
    /// The entry of a table whose numbers are of `class`, with the given tolerances by column.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if the table cannot be written or a tolerance names no column.
    pub fn new(
        table: &Table,
        class: Class,
        tolerances: &BTreeMap<String, Tolerance>,
    ) -> Result<Self, ArtifactError> {
        let schema = table.schema();
        for name in tolerances.keys() {
            if !schema.iter().any(|(column, _)| column == name) {
                let place = Place::Column(name.clone());
                let found = "a tolerance for no column";
                return Err(ArtifactError::table(table.name(), place, found, "a column"));
            }
        }
        let column = |(name, kind): (String, ColumnType)| ColumnEntry {
            tolerance: tolerances.get(&name).cloned(),
            name,
            kind,
        };
        Ok(Self {
            sha256: sha256(&table.to_csv()?),
            rows: table.rows(),
            class,
            columns: schema.into_iter().map(column).collect(),
        })
    }
}

impl ManifestItem {
    /// What is promised of the bits of a file: of a table its own class, of a figure that of the tables that it
    /// shows, of the claims that of all tables.
    pub fn class(&self, path: &str) -> Class {
        let all = || Class::of_all(self.tables.values().map(|table| table.class));
        let shown = |figure: &FigureEntry| {
            let tables = figure.drawn_from.iter().filter_map(|table| self.tables.get(table));
            Class::of_all(tables.map(|table| table.class))
        };
        match (self.tables.get(path), self.figures.get(path)) {
            (Some(table), _) => table.class,
            (None, Some(figure)) => shown(figure),
            (None, None) => all(),
        }
    }

    /// Every path with its digest.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let tables = self.tables.iter().map(|(path, t)| (path.as_str(), t.sha256.as_str()));
        let figures = self.figures.iter().map(|(path, f)| (path.as_str(), f.sha256.as_str()));
        tables.chain(figures).chain([(self.claims.path.as_str(), self.claims.sha256.as_str())])
    }
}

impl Manifest {
    /// Every path of every item with its digest.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.items.values().flat_map(ManifestItem::files)
    }

    /// Reads the manifest of an output folder.
    ///
    /// # Errors
    /// [`ArtifactError`] if it is missing or is not a manifest of this format.
    pub fn read(dir: &Path) -> Result<Self, ArtifactError> {
        let path = dir.join(MANIFEST);
        Self::parse(&path, &output::read(&path)?)
    }

    /// The manifest in `bytes`, which must be its canonical text; `path` is for messages.
    ///
    /// # Errors
    /// [`ArtifactError::Content`] if they are not.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ArtifactError> {
        let content = |found: String, expected: &str| ArtifactError::Content {
            path: path.to_owned(),
            field: "manifest".into(),
            found,
            expected: expected.to_owned(),
            hint: "regenerate it with `icl run`",
        };
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| content(error.to_string(), "a manifest as written by `icl run`"))?;
        if manifest.format != FORMAT {
            return Err(content(format!("format {}", manifest.format), FORMAT));
        }
        if manifest.to_json()? != bytes {
            return Err(content("other bytes".into(), "the canonical text of its content"));
        }
        let mut files = manifest.files();
        if let Some((path, _)) = files.find(|(path, _)| !output::is_inside(path)) {
            return Err(content(format!("path `{path}`"), "a path inside the folder"));
        }
        drop(files);
        Ok(manifest)
    }

    /// The text of [`SUMS`] that this manifest implies.
    ///
    /// # Errors
    /// As [`Self::to_json`].
    pub fn sums(&self) -> Result<String, ArtifactError> {
        let own = sha256(&self.to_json()?);
        let files = self.files();
        let sorted: BTreeMap<&str, &str> = files.chain([(MANIFEST, own.as_str())]).collect();
        Ok(sorted.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect())
    }

    /// Canonical text: keys in the order of the declaration, maps sorted, two spaces, `\n`.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if a setting is not representable.
    pub fn to_json(&self) -> Result<Vec<u8>, ArtifactError> {
        canonical_json(self)
    }
}
