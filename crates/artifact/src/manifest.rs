//! The manifest of a profile's outputs, its `SHA256SUMS`, and their publication as one folder.
//!
//! Everything here is a function of source and settings; what belongs to one run (times, host) goes
//! to `run.json` and `host.json`, whose digests `RUN.SHA256SUMS` holds. The root hash is the SHA-256 of
//! `SHA256SUMS`.

use crate::digest::sha256;
use crate::table::{ColumnType, Table};
use crate::tolerance::Tolerance;
use crate::{ArtifactError, output};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Version of the manifest's format.
pub const FORMAT: &str = "icl-artifact/1";
/// Class of outputs whose bits are the same on every CPU and for every number of threads.
pub const EXACT: &str = "exact";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the list of digests.
pub const SUMS: &str = "SHA256SUMS";

/// Name of the run's record.
pub const RUN: &str = "run.json";
/// Name of the description of the host.
pub const HOST: &str = "host.json";
/// What belongs to one run.
pub const RUN_FILES: [&str; 2] = [HOST, RUN];
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
    /// Figures by path.
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
    /// Class of the bits, see [`EXACT`].
    pub class: String,
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
    /// The entry of a table with the given tolerances by column.
    ///
    /// # Errors
    /// [`ArtifactError::Table`] if the table cannot be written or a tolerance names no column.
    pub fn new(
        table: &Table,
        tolerances: &BTreeMap<String, Tolerance>,
    ) -> Result<Self, ArtifactError> {
        let schema = table.schema();
        for name in tolerances.keys() {
            if !schema.iter().any(|(column, _)| column == name) {
                let place = format!("tolerance of column `{name}`");
                return Err(ArtifactError::table(
                    table.name(),
                    place,
                    "no such column",
                    "a column",
                ));
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
            class: EXACT.to_owned(),
            columns: schema.into_iter().map(column).collect(),
        })
    }
}

impl ManifestItem {
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

/// Pretty JSON with a final newline.
///
/// # Errors
/// [`ArtifactError::Table`] if a value is not representable.
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| {
        ArtifactError::table("json", "value", error.to_string(), "a representable value")
    })?;
    text.push(b'\n');
    Ok(text)
}

/// The text of `SHA256SUMS` for `files`, as `sha256sum -c` reads it, sorted by path.
pub fn sums<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = files.into_iter().collect();
    sorted.iter().map(|(path, bytes)| format!("{}  {path}\n", sha256(bytes))).collect()
}

/// Parses `SHA256SUMS` into path and digest; the second list says which lines are none.
pub fn parse_sums(text: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut sums, mut faults) = (BTreeMap::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let digest = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match line.split_once("  ") {
            Some((found, path)) if digest(found) && output::is_inside(path) => {
                sums.insert(path.to_owned(), found.to_owned());
            }
            _ => faults.push(format!(
                "line {}: found `{line}`, expected 64 hexadecimal digits, two spaces, a path inside the folder",
                i + 1
            )),
        }
    }
    (sums, faults)
}

/// Publishes `files` with their manifest as the folder `dir`; `run_files` (by the names of [`RUN_FILES`]) go
/// beside them. What an earlier run lists there is replaced, nothing else is touched.
///
/// Returns the root hash.
///
/// # Errors
/// [`ArtifactError`] if something cannot be written or foreign files are in the way.
pub fn publish(
    dir: &Path,
    manifest: &Manifest,
    files: &BTreeMap<String, Vec<u8>>,
    run_files: &BTreeMap<String, Vec<u8>>,
) -> Result<String, ArtifactError> {
    let manifest = manifest.to_json()?;
    let borrowed = |(path, bytes): (&'_ String, &'_ Vec<u8>)| (path.clone(), bytes.clone());
    let mut all: BTreeMap<String, Vec<u8>> = files.iter().map(borrowed).collect();
    all.insert(MANIFEST.to_owned(), manifest);
    let sums = sums(all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let run_sums =
        self::sums(run_files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    all.extend(run_files.iter().map(borrowed));
    all.insert(SUMS.to_owned(), sums.clone().into_bytes());
    all.insert(RUN_SUMS.to_owned(), run_sums.into_bytes());
    let all = all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    output::folder::replace_dir(dir, &all, &listed(dir))?;
    Ok(sha256(sums.as_bytes()))
}

/// Whether `dir` holds exactly this manifest and these files, undamaged, with intact records of their run.
///
/// # Errors
/// As [`Manifest::to_json`].
pub fn is_published(
    dir: &Path,
    manifest: &Manifest,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<bool, ArtifactError> {
    let holds =
        |path: &str, bytes: &[u8]| output::read(&dir.join(path)).is_ok_and(|found| found == bytes);
    let run_sums = output::read(&dir.join(RUN_SUMS)).unwrap_or_default();
    let (run_sums, faults) = parse_sums(&String::from_utf8_lossy(&run_sums));
    let run_file = |name: &str| {
        let found = output::read(&dir.join(name)).map(|bytes| sha256(&bytes)).ok();
        found.is_some() && found.as_ref() == run_sums.get(name)
    };
    Ok(holds(MANIFEST, &manifest.to_json()?)
        && holds(SUMS, manifest.sums()?.as_bytes())
        && files.iter().all(|(path, bytes)| holds(path, bytes))
        && faults.is_empty()
        && RUN_FILES.into_iter().all(run_file)
        && !dir.join(output::folder::MARKER).exists())
}

/// The paths in `dir` that an earlier run made: what its lists name, as far as they can be read.
pub fn listed(dir: &Path) -> BTreeSet<String> {
    let names = [MANIFEST, SUMS, RUN_SUMS].into_iter().chain(RUN_FILES).map(str::to_owned);
    let mut listed: BTreeSet<String> = names.collect();
    let text = output::read(&dir.join(SUMS)).unwrap_or_default();
    listed.extend(parse_sums(&String::from_utf8_lossy(&text)).0.into_keys());
    if let Ok(manifest) = Manifest::read(dir) {
        listed.extend(manifest.files().map(|(path, _)| path.to_owned()));
    }
    listed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sorted_and_read_back() {
        let text = sums([("b", b"2".as_slice()), ("a", b"1")]);
        let (parsed, faults) = parse_sums(&text);
        assert_eq!(parsed["a"], sha256(b"1"));
        assert!(text.starts_with(&parsed["a"]) && faults.is_empty());
        let (parsed, faults) = parse_sums(&format!("abc  x\n{text}"));
        assert!(parsed.len() == 2 && faults[0].contains("line 1"), "{faults:?}");
        for path in ["../x", "/x", "a/../../x", "a//b", "./x", "a\\b", "a\tb", ""] {
            let (parsed, faults) = parse_sums(&format!("{}  {path}\n", "0".repeat(64)));
            assert!(parsed.is_empty() && faults.len() == 1, "{path}");
        }
    }
}
