//! What of a folder of outputs is reproduced, and at which level.
//!
//! Integrity: every file is the one that `SHA256SUMS` and the manifest name, and there is no other. Bits: it
//! equals the expected one. Tolerance: a table's numbers lie within the declared bounds; numbers whose bits
//! nothing promises ([`Class`]) reach no higher level. Claims are read from the item's claims file and judged
//! again. The expected files are checked in the same way. Nothing that is found hides what comes after it.

mod compare;
mod expected;
mod folder;
mod lists;

pub use compare::compare_tables;
pub use expected::Expected;

use crate::claim::Claim;
use crate::digest::sha256;
use crate::finding::{self, Finding, Kind};
use crate::manifest::{Manifest, ManifestItem, SUMS};
use crate::{ArtifactError, Class, output};
use expected::Expectation;
use folder::Folder;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use std::path::Path;

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
    /// There, and named nowhere.
    Unlisted,
    /// Its content cannot be read as what it should be.
    Damaged,
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
            Self::Unlisted => "unlisted",
            Self::Damaged => "damaged",
        }
    }

    /// Whether the output counts as reproduced.
    pub fn passes(self) -> bool {
        self <= Self::Integrity
    }
}

/// One output's result.
#[derive(Debug, Clone)]
pub struct OutputReport {
    /// Item, or empty for what belongs to no item.
    pub item: String,
    /// Path inside the folder; the whole path of what stands elsewhere.
    pub path: String,
    /// Level reached.
    pub level: Level,
    /// What is promised of its bits.
    pub class: Class,
    /// The device that took part in it, as the run's record names it; none where no record does.
    pub device: Option<String>,
    /// Where and how it differs; empty if it does not.
    pub findings: Vec<Finding>,
}

impl OutputReport {
    /// The report of a file with exact bits.
    pub fn new(
        item: &str,
        path: &str,
        level: Level,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Self {
        let (item, path, class) = (item.to_owned(), path.to_owned(), Class::Exact);
        let findings = findings.into_iter().collect();
        Self { item, path, level, class, device: None, findings }
    }

    /// The findings as one text: of the entries of a table the first, and how many there are.
    pub fn detail(&self) -> String {
        finding::text(&self.findings)
    }
}

/// With the findings also as text.
impl Serialize for OutputReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("OutputReport", 7)?;
        fields.serialize_field("item", &self.item)?;
        fields.serialize_field("path", &self.path)?;
        fields.serialize_field("level", &self.level)?;
        fields.serialize_field("class", &self.class)?;
        fields.serialize_field("device", &self.device)?;
        fields.serialize_field("detail", &self.detail())?;
        fields.serialize_field("findings", &self.findings)?;
        fields.end()
    }
}

/// A verified folder.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Profile of the folder.
    pub profile: String,
    /// Root hash found.
    pub root: String,
    /// Root hash expected for the items that are there; none where nothing is expected.
    pub expected_root: Option<String>,
    /// Outputs, and findings beside them.
    pub outputs: Vec<OutputReport>,
    /// Claims, judged from their values.
    pub claims: Vec<Claim>,
    /// Items that are expected and not there: not run, so neither reproduced nor different.
    pub absent: Vec<String>,
    /// Entries that are passed over.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every output passes and no claim that is expected to hold fails.
    pub fn passes(&self) -> bool {
        self.outputs.iter().all(|o| o.level.passes()) && !self.claims.iter().any(Claim::breaks)
    }
}

/// Verifies the folder `dir` against its own digests and against `expected`.
pub fn verify(dir: &Path, profile: &str, expected: &Expected) -> Report {
    let mut findings = Vec::new();
    let expectation = Expectation::read(expected, &mut findings);
    let mut folder = Folder::read(dir, expected, expectation.as_ref());
    folder.check();
    let mut notes = folder.notes;
    let mut outputs = folder.outputs;
    outputs.append(&mut findings);
    expected.check(expectation.as_ref(), &mut outputs, &mut notes);
    let mut report = Report {
        profile: profile.to_owned(),
        root: sha256(&folder.sums_text),
        expected_root: None,
        outputs,
        claims: folder.claims,
        absent: Vec::new(),
        notes,
    };
    if let Some((found, expected)) =
        folder.manifest.as_ref().zip(expectation.as_ref().and_then(|e| e.manifest.as_ref()))
    {
        let absent = expected.items.keys().filter(|id| !found.items.contains_key(*id));
        report.absent = absent.cloned().collect();
        compare_roots(found, expected, &mut report);
    }
    report
}

/// The roots of the items that both manifests have and whose bits both promise; items of a user's own are
/// expected nowhere.
fn compare_roots(found: &Manifest, expected: &Manifest, report: &mut Report) {
    let exact = |item: &ManifestItem| item.tables.values().all(|table| table.class.promises_bits());
    let comparable = |id: &String| {
        let both = found.items.get(id).zip(expected.items.get(id));
        both.is_some_and(|(found, expected)| exact(found) && exact(expected))
    };
    let restricted = |manifest: &Manifest| {
        let mut manifest = manifest.clone();
        manifest.items.retain(|id, _| comparable(id));
        manifest.sums().map(|sums| sha256(sums.as_bytes())).unwrap_or_default()
    };
    let (root, wanted) = (restricted(found), restricted(expected));
    if root != wanted && report.outputs.iter().all(|output| output.level.passes()) {
        let differ = Finding::new(Kind::Root, SUMS, &root, &wanted);
        let differ = differ.with_hint("the manifests differ");
        report.outputs.push(OutputReport::new("", SUMS, Level::Differs, [differ]));
    }
    // of a folder with comparable items only, the root itself
    let whole = found.items.keys().all(comparable);
    report.expected_root = match found.items.keys().any(comparable) {
        true if whole || root != wanted => Some(wanted),
        true => Some(report.root.clone()),
        false => None,
    };
}

/// Reads a claims file; an item without one has no claims.
///
/// # Errors
/// [`ArtifactError`] if it is not a list of claims.
pub fn read_claims(path: &Path) -> Result<Vec<Claim>, ArtifactError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    parse_claims(path, &output::read(path)?)
}

fn parse_claims(path: &Path, bytes: &[u8]) -> Result<Vec<Claim>, ArtifactError> {
    serde_json::from_slice(bytes).map_err(|error| ArtifactError::Content {
        path: path.to_owned(),
        field: "claims".into(),
        found: error.to_string(),
        expected: "a list of claims as written by `icl run`".into(),
        hint: "regenerate it with `icl run`",
    })
}
