//! The expected files: what they say, and whether they are what they say.

use super::{Level, OutputReport};
use crate::digest::sha256;
use crate::finding::{Finding, Kind};
use crate::manifest::{self, MANIFEST, Manifest, SUMS};
use crate::{Class, output};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The gallery beside the expected figures: a document, made of them and no part of what is expected.
const GALLERY: &str = "README.md";
/// The paper of all fragments.
const PAPER: &str = "paper.tex";

/// Where the expected outputs of a profile stand.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Folder that stands for `data/`.
    pub data: PathBuf,
    /// Folder that stands for `figures/` and holds manifest and `SHA256SUMS`.
    pub figures: PathBuf,
    /// Whether figures are kept beside their digests.
    pub keeps_figures: bool,
}

/// What is expected, as far as it can be read.
pub(super) struct Expectation {
    pub(super) manifest: Option<Manifest>,
    digests: BTreeMap<String, String>,
}

impl Expectation {
    /// Reads manifest and digests; what is wrong with them goes to `findings`. None if neither is there.
    pub(super) fn read(expected: &Expected, findings: &mut Vec<OutputReport>) -> Option<Self> {
        let (sums_path, manifest_path) =
            (expected.figures.join(SUMS), expected.figures.join(MANIFEST));
        if !sums_path.exists() && !manifest_path.exists() {
            return None;
        }
        let mut report = |level, finding: Finding| {
            findings.push(OutputReport::new("", &finding.file.clone(), level, [finding]));
        };
        let (sums_name, manifest_name) =
            (sums_path.display().to_string(), manifest_path.display().to_string());
        let manifest = match Manifest::read(&expected.figures) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                report(Level::Damaged, Finding::of_error(&manifest_name, &error));
                None
            }
        };
        let text = output::read(&sums_path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let implied = manifest.as_ref().and_then(|manifest| manifest.sums().ok());
        if implied.as_ref().is_some_and(|implied| *implied != text) {
            let expected = format!("the digests of {manifest_name}");
            report(Level::Differs, Finding::new(Kind::Content, sums_name, "others", expected));
        }
        // what the manifest does not say is taken from the list, as far as that can be read
        let digests = match &manifest {
            Some(manifest) => {
                let files = manifest.files();
                let mut digests: BTreeMap<String, String> =
                    files.map(|(path, digest)| (path.to_owned(), digest.to_owned())).collect();
                let own = output::read(&manifest_path).map(|bytes| sha256(&bytes));
                digests.insert(MANIFEST.to_owned(), own.unwrap_or_default());
                digests
            }
            None => manifest::parse_sums(&text).0,
        };
        Some(Self { manifest, digests })
    }

    /// What is expected of the bits of an item's file.
    pub(super) fn class(&self, item: &str, path: &str) -> Class {
        let item = self.manifest.as_ref().and_then(|manifest| manifest.items.get(item));
        item.map_or(Class::Exact, |item| item.class(path))
    }

    /// The digest expected of an output.
    pub(super) fn digest(&self, path: &str) -> Option<&str> {
        self.digests.get(path).map(String::as_str)
    }
}

impl Expected {
    /// The expected file for an output path.
    pub fn path(&self, output: &str) -> PathBuf {
        match output.split_once('/') {
            Some(("data", rest)) => self.data.join(rest),
            Some(("figures", rest)) => self.figures.join(rest),
            _ => self.figures.join(output),
        }
    }

    /// Every expected file against its digest, and every file beside them.
    pub(super) fn check(
        &self,
        expectation: Option<&Expectation>,
        outputs: &mut Vec<OutputReport>,
        notes: &mut Vec<String>,
    ) {
        let Some(expectation) = expectation else {
            return;
        };
        let mut known: BTreeSet<PathBuf> =
            [SUMS, MANIFEST, GALLERY, PAPER].map(|name| self.figures.join(name)).into();
        for (path, digest) in expectation.digests.iter().filter(|(path, _)| *path != MANIFEST) {
            let full = self.path(path);
            if path.starts_with("data/") || self.keeps_figures {
                outputs.extend(check_file(&full, digest));
            }
            known.insert(full);
        }
        for folder in [&self.data, &self.figures] {
            let listed = output::folder::entries(folder).unwrap_or_default();
            for entry in listed {
                let full = folder.join(&entry.path);
                let name = full.display().to_string();
                if output::is_passed_over(&entry.path) {
                    notes.push(format!("{name}: passed over"));
                } else if !known.contains(&full) {
                    let finding = Finding::foreign(&name, "expected files only");
                    outputs.push(OutputReport::new("", &name, Level::Unlisted, [finding]));
                }
            }
        }
    }
}

fn check_file(path: &Path, digest: &str) -> Option<OutputReport> {
    let name = path.display().to_string();
    let Ok(bytes) = output::read(path) else {
        let hint = "restore it from the repository";
        let finding = Finding::missing(&name, "an expected file", hint);
        return Some(OutputReport::new("", &name, Level::Missing, [finding]));
    };
    let found = sha256(&bytes);
    let finding = Finding::digest(&name, &found, digest, Some("the expected manifest"));
    (found != digest).then(|| OutputReport::new("", &name, Level::Differs, [finding]))
}
