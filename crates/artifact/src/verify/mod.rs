//! What of a folder of outputs is reproduced, and at which level.
//!
//! Integrity: every file is the one that `SHA256SUMS` and the manifest name. Bits: it equals the
//! expected one. Tolerance: a table's numbers lie within the declared bounds. Claims are read from the
//! item's claims file and judged again.

use crate::claim::Claim;
use crate::digest::sha256;
use crate::manifest::{self, EXACT, MANIFEST, Manifest, SUMS, TableEntry};
use crate::table::{Schema, Table};
use crate::{ArtifactError, output};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Level that one output reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Equal to the expected output.
    Bits,
    /// Numbers within the declared tolerance.
    Tolerance,
    /// Undamaged, and nothing is expected to compare with.
    Integrity,
    /// Different from what it should be.
    Differs,
    /// Not there.
    Missing,
}

impl Level {
    /// Lower-case word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bits => "bits",
            Self::Tolerance => "tolerance",
            Self::Integrity => "integrity",
            Self::Differs => "differs",
            Self::Missing => "missing",
        }
    }

    /// Whether the output counts as reproduced.
    pub fn passes(self) -> bool {
        self <= Self::Integrity
    }
}

/// One output's result.
#[derive(Debug, Clone, Serialize)]
pub struct OutputReport {
    /// Item, or the name of the list of digests and the like.
    pub item: String,
    /// Path inside the folder.
    pub path: String,
    /// Level reached.
    pub level: Level,
    /// Class of its bits.
    pub class: String,
    /// Where and how it differs; empty if it does not.
    pub detail: String,
}

/// A verified folder.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Profile of the folder.
    pub profile: String,
    /// Root hash found.
    pub root: String,
    /// Root hash expected, where the same items are expected.
    pub expected_root: Option<String>,
    /// Outputs.
    pub outputs: Vec<OutputReport>,
    /// Claims, judged from their values.
    pub claims: Vec<Claim>,
}

impl Report {
    /// Whether every output passes and no claim that is expected to hold fails.
    pub fn passes(&self) -> bool {
        self.outputs.iter().all(|o| o.level.passes()) && !self.claims.iter().any(Claim::breaks)
    }
}

/// Where expected outputs stand: `(profile folder for data, for figures, manifest and digests)`.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Folder that stands for `data/`.
    pub data: PathBuf,
    /// Folder that stands for `figures/` and holds manifest and `SHA256SUMS`.
    pub figures: PathBuf,
}

type ExpectedSums = (String, BTreeMap<String, String>);

impl Expected {
    /// The expected file for an output path.
    pub fn path(&self, output: &str) -> PathBuf {
        match output.split_once('/') {
            Some(("data", rest)) => self.data.join(rest),
            Some(("figures", rest)) => self.figures.join(rest),
            _ => self.figures.join(output),
        }
    }

    /// Root hash and digests by path, if any are expected.
    fn sums(&self) -> Result<Option<ExpectedSums>, ArtifactError> {
        let path = self.figures.join(SUMS);
        if !path.exists() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&output::read(&path)?).into_owned();
        let sums = manifest::parse_sums(&path, &text)?;
        Ok(Some((sha256(text.as_bytes()), sums)))
    }
}

/// Verifies the folder `dir` against its own digests and against `expected`.
///
/// # Errors
/// [`ArtifactError`] if manifest, digests or a table cannot be read at all.
pub fn verify(dir: &Path, expected: &Expected) -> Result<Report, ArtifactError> {
    let sums_path = dir.join(SUMS);
    let sums_text = String::from_utf8_lossy(&output::read(&sums_path)?).into_owned();
    let recorded = manifest::parse_sums(&sums_path, &sums_text)?;
    let manifest = Manifest::read(dir)?;
    let expectation = expected.sums()?;
    let mut check = Checker {
        dir,
        expected,
        recorded: &recorded,
        expected_sums: expectation.as_ref().map(|(_, sums)| sums),
        outputs: Vec::new(),
    };
    check.manifest()?;
    let mut claims = Vec::new();
    for (id, item) in &manifest.items {
        for (path, digest) in item.files() {
            check.file(id, path, digest, item.tables.get(path))?;
        }
        claims.extend(read_claims(&dir.join(&item.claims.path))?);
    }
    check.strays(&manifest);
    let outputs = check.outputs;
    let expected_root = match expectation {
        Some((root, sums)) if sums.keys().eq(recorded.keys()) => Some(root),
        _ => None,
    };
    let root = sha256(sums_text.as_bytes());
    Ok(Report { profile: manifest.profile, root, expected_root, outputs, claims })
}

/// Reads a claims file.
///
/// # Errors
/// [`ArtifactError`] if it is missing or not a list of claims.
pub fn read_claims(path: &Path) -> Result<Vec<Claim>, ArtifactError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(&output::read(path)?).map_err(|error| ArtifactError::Content {
        path: path.to_owned(),
        field: "claims".into(),
        found: error.to_string(),
        expected: "a list of claims as written by `icl run`".into(),
        hint: "regenerate it with `icl run`",
    })
}

struct Checker<'a> {
    dir: &'a Path,
    expected: &'a Expected,
    recorded: &'a BTreeMap<String, String>,
    expected_sums: Option<&'a BTreeMap<String, String>>,
    outputs: Vec<OutputReport>,
}

impl Checker<'_> {
    fn report(&mut self, item: &str, path: &str, level: Level, detail: impl Into<String>) {
        let (item, path, class) = (item.to_owned(), path.to_owned(), EXACT.to_owned());
        self.outputs.push(OutputReport { item, path, level, class, detail: detail.into() });
    }

    /// The manifest against `SHA256SUMS`; its content is checked file by file.
    fn manifest(&mut self) -> Result<(), ArtifactError> {
        let found = sha256(&output::read(&self.dir.join(MANIFEST))?);
        let recorded = self.recorded.get(MANIFEST).cloned().unwrap_or_default();
        if found != recorded {
            let detail = format!("SHA-256 found {found}, {SUMS} says {recorded}");
            self.report("", MANIFEST, Level::Differs, detail);
            return Ok(());
        }
        let level = match self.expected_sums {
            Some(sums) if sums.get(MANIFEST) == Some(&found) => Level::Bits,
            // fewer items than expected, or none expected: the files below decide
            _ => Level::Integrity,
        };
        self.report("", MANIFEST, level, "");
        Ok(())
    }

    fn file(
        &mut self,
        item: &str,
        path: &str,
        manifest_digest: &str,
        table: Option<&TableEntry>,
    ) -> Result<(), ArtifactError> {
        let full = self.dir.join(path);
        if !full.exists() {
            self.report(item, path, Level::Missing, "regenerate it with `icl run`");
            return Ok(());
        }
        let bytes = output::read(&full)?;
        let found = sha256(&bytes);
        let wanted = self.expected_sums.and_then(|sums| sums.get(path)).cloned();
        let intact = self.recorded.get(path) == Some(&found) && manifest_digest == found;
        if intact && wanted.as_ref() == Some(&found) {
            self.report(item, path, Level::Bits, "");
            return Ok(());
        }
        if intact && wanted.is_none() {
            self.report(item, path, Level::Integrity, "no expected output of this name");
            return Ok(());
        }
        let digests = if intact {
            format!("SHA-256 found {found}, expected {}", wanted.unwrap_or_default())
        } else {
            format!("SHA-256 found {found}, recorded {manifest_digest}")
        };
        let comparison = match table {
            Some(entry) => self.compare(path, entry, &full, &bytes)?,
            None => None,
        };
        let (level, detail) = match comparison {
            Some(difference) if intact && difference.within => (Level::Tolerance, difference.text),
            Some(difference) => (Level::Differs, format!("{}; {digests}", difference.text)),
            None => (Level::Differs, digests),
        };
        self.report(item, path, level, detail);
        Ok(())
    }

    /// Compares a table with the expected one, if there is one.
    fn compare(
        &self,
        path: &str,
        entry: &TableEntry,
        full: &Path,
        bytes: &[u8],
    ) -> Result<Option<Difference>, ArtifactError> {
        let schema: Schema = entry.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
        let found = Table::from_csv(&full.display().to_string(), &schema, bytes)?;
        let reference = self.expected.path(path);
        if !reference.exists() {
            return Ok(None);
        }
        let name = reference.display().to_string();
        let reference = match Table::from_csv(&name, &schema, &output::read(&reference)?) {
            Ok(reference) => reference,
            // expected by an earlier version of the item: a difference, not a damaged file
            Err(error @ ArtifactError::Table { .. }) => {
                return Ok(Some(Difference { within: false, text: error.to_string() }));
            }
            Err(error) => return Err(error),
        };
        compare_tables(&found, &reference, entry).map(Some)
    }

    /// Files that the digests list and the manifest does not.
    fn strays(&mut self, manifest: &Manifest) {
        let known: Vec<&str> =
            manifest.items.values().flat_map(|item| item.files().map(|(path, _)| path)).collect();
        let strays: Vec<String> = self
            .recorded
            .keys()
            .filter(|path| path.as_str() != MANIFEST && !known.contains(&path.as_str()))
            .cloned()
            .collect();
        for path in strays {
            self.report("", &path, Level::Differs, format!("in {SUMS} but not in {MANIFEST}"));
        }
    }
}

/// How two tables differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Whether every entry is within its column's tolerance.
    pub within: bool,
    /// The first entry outside, or the largest difference inside.
    pub text: String,
}

/// Compares `found` with `expected` entry by entry; rows are counted from 1 after the header.
///
/// # Errors
/// [`ArtifactError::Table`] if a column is missing.
pub fn compare_tables(
    found: &Table,
    expected: &Table,
    entry: &TableEntry,
) -> Result<Difference, ArtifactError> {
    if found.rows() != expected.rows() {
        let text = format!("found {} rows, expected {}", found.rows(), expected.rows());
        return Ok(Difference { within: false, text });
    }
    let mut differing: Vec<(bool, usize, String)> = Vec::new();
    for column in &entry.columns {
        let (got, want) = (found.entries(&column.name)?, expected.entries(&column.name)?);
        for (row, (got, want)) in got.iter().zip(&want).enumerate().filter(|(_, (g, w))| g != w) {
            let numbers = got.parse::<f64>().ok().zip(want.parse::<f64>().ok());
            let (close, allowed) = match (&column.tolerance, numbers) {
                (Some(t), Some((got, want))) => {
                    let allowed = format!(
                        " (allowed {} + {} relative: {})",
                        t.absolute, t.relative, t.reason
                    );
                    (t.accepts(got, want), allowed)
                }
                _ => (false, String::new()),
            };
            let (row, name) = (row + 1, &column.name);
            let text = format!("row {row}, column `{name}`: found {got}, expected {want}{allowed}");
            differing.push((close, row, text));
        }
    }
    // the first entry outside its tolerance, or the first one at all
    differing.sort_by_key(|(close, row, _)| (*close, *row));
    let count = differing.len();
    Ok(match differing.into_iter().next() {
        Some((within, _, text)) => {
            let others =
                if count > 1 { format!("; {count} entries differ") } else { String::new() };
            Difference { within, text: text + &others }
        }
        None => Difference { within: true, text: "equal entries, other bytes".into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerance::Tolerance;

    fn table(losses: [f64; 2]) -> Table {
        let builder = Table::builder("t").integers("step", vec![0, 50]);
        builder.floats("loss", losses.to_vec()).build().unwrap()
    }

    #[test]
    fn the_first_altered_entry_is_named_and_tolerances_hold() {
        let expected = table([0.5, 0.25]);
        let strict = TableEntry::new(&expected, &BTreeMap::new()).unwrap();
        let difference = compare_tables(&table([0.5, 0.26]), &expected, &strict).unwrap();
        assert_eq!(difference.text, "row 2, column `loss`: found 0.26, expected 0.25");
        let tolerance =
            Tolerance { absolute: 0.02, relative: 0.0, reason: "a test's own".to_owned() };
        let tolerances = BTreeMap::from([("loss".to_owned(), tolerance)]);
        let lenient = TableEntry::new(&expected, &tolerances).unwrap();
        assert!(compare_tables(&table([0.5, 0.26]), &expected, &lenient).unwrap().within);
        assert!(!compare_tables(&table([0.5, 0.28]), &expected, &lenient).unwrap().within);
    }
}
