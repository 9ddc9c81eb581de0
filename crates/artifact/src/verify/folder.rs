//! The folder of a run: every file that its manifest names.

use super::expected::Expectation;
use super::{Expected, Level, OutputReport, compare_tables, parse_claims};
use crate::claim::Claim;
use crate::digest::sha256;
use crate::finding::{Finding, Kind};
use crate::manifest::{MANIFEST, Manifest, ManifestItem, SUMS, TableEntry};
use crate::output;
use crate::table::{Schema, Table};
use crate::{ArtifactError, Class};
use std::collections::BTreeMap;
use std::path::Path;

/// A folder that is being checked, and what was found so far.
pub(super) struct Folder<'a> {
    pub(super) dir: &'a Path,
    expected: &'a Expected,
    expectation: Option<&'a Expectation>,
    pub(super) sums_text: Vec<u8>,
    pub(super) recorded: BTreeMap<String, String>,
    pub(super) manifest: Option<Manifest>,
    pub(super) outputs: Vec<OutputReport>,
    pub(super) claims: Vec<Claim>,
    pub(super) notes: Vec<String>,
}

impl<'a> Folder<'a> {
    /// Reads both lists of the folder; what is wrong with them is the first that is found.
    pub(super) fn read(
        dir: &'a Path,
        expected: &'a Expected,
        expectation: Option<&'a Expectation>,
    ) -> Self {
        let mut folder = Self {
            dir,
            expected,
            expectation,
            sums_text: output::read(&dir.join(SUMS)).unwrap_or_default(),
            recorded: BTreeMap::new(),
            manifest: None,
            outputs: Vec::new(),
            claims: Vec::new(),
            notes: Vec::new(),
        };
        folder.recorded = folder.read_sums(SUMS);
        folder.read_manifest();
        folder
    }

    /// Reports a file that is not as it should be; the finding says where it is.
    pub(super) fn report(&mut self, item: &str, path: &str, level: Level, finding: Finding) {
        self.outputs.push(OutputReport::new(item, path, level, [finding]));
    }

    fn read_manifest(&mut self) {
        let damaged = |error: &ArtifactError| Finding::of_error(MANIFEST, error);
        let bytes = match output::read(&self.dir.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(error) => return self.report("", MANIFEST, Level::Missing, damaged(&error)),
        };
        let found = sha256(&bytes);
        let recorded = self.recorded(MANIFEST);
        match Manifest::parse(&self.dir.join(MANIFEST), &bytes) {
            Ok(manifest) => self.manifest = Some(manifest),
            Err(error) => return self.report("", MANIFEST, Level::Damaged, damaged(&error)),
        }
        if found != recorded {
            let finding = Finding::digest(MANIFEST, &found, &recorded, Some(SUMS));
            return self.report("", MANIFEST, Level::Differs, finding);
        }
        let expected = self.expectation.and_then(|expectation| expectation.digest(MANIFEST));
        // with other items than expected, the files decide
        let level = if expected == Some(&found) { Level::Bits } else { Level::Integrity };
        self.outputs.push(OutputReport::new("", MANIFEST, level, []));
    }

    /// The digest that the list has of a path.
    fn recorded(&self, path: &str) -> String {
        self.recorded.get(path).cloned().unwrap_or_else(|| "nothing".into())
    }

    /// Checks all there is.
    pub(super) fn check(&mut self) {
        for (id, item) in self.manifest.clone().map(|manifest| manifest.items).unwrap_or_default() {
            for (path, digest) in item.files() {
                let bytes = self.file(&id, &item, path, digest);
                if let Some(bytes) = bytes.filter(|_| path == item.claims.path) {
                    match parse_claims(&self.dir.join(path), &bytes) {
                        Ok(claims) => self.claims.extend(claims),
                        Err(error) => {
                            let finding = Finding::of_error(path, &error);
                            self.report(&id, path, Level::Damaged, finding);
                        }
                    }
                }
            }
        }
        self.only_recorded();
        self.run_files();
        self.unlisted();
    }

    /// One file that the manifest names; returns its bytes.
    fn file(
        &mut self,
        id: &str,
        item: &ManifestItem,
        path: &str,
        manifest_digest: &str,
    ) -> Option<Vec<u8>> {
        let Ok(bytes) = output::read(&self.dir.join(path)) else {
            let finding = Finding::missing(path, "an output", "regenerate it with `icl run`");
            self.report(id, path, Level::Missing, finding);
            return None;
        };
        let found = sha256(&bytes);
        let recorded = self.recorded(path);
        let other = |list: &str, digest: &str, by: &str| {
            let finding = Finding::digest(list, &found, digest, Some(by));
            Finding { part: Some(path.to_owned()), ..finding }
        };
        if found == manifest_digest && found != recorded {
            self.report(id, SUMS, Level::Differs, other(SUMS, &recorded, "the list"));
        } else if found == recorded && found != manifest_digest {
            let finding = other(MANIFEST, manifest_digest, "the manifest");
            self.report(id, MANIFEST, Level::Differs, finding);
        }
        let intact = found == manifest_digest || found == recorded;
        let wanted = self.expectation.and_then(|expectation| expectation.digest(path));
        let expected_class = self.expectation.map(|expectation| expectation.class(id, path));
        let class = Class::of_all([item.class(path)].into_iter().chain(expected_class));
        let table = item.tables.get(path);
        let (level, findings) = match wanted {
            _ if !intact => {
                let digest = Finding::digest(path, &found, manifest_digest, Some(MANIFEST));
                let (level, findings) = self.compared(path, table, &bytes, digest);
                // what was changed after the run does not pass, however little
                (level.max(Level::Differs), findings)
            }
            Some(wanted) if wanted == found && class.promises_bits() => (Level::Bits, vec![]),
            Some(wanted) if wanted == found => (Level::Tolerance, vec![]),
            Some(_) if !class.promises_bits() && table.is_none() => (Level::Integrity, vec![]),
            Some(wanted) => {
                self.compared(path, table, &bytes, Finding::digest(path, &found, wanted, None))
            }
            None => (Level::Integrity, vec![]),
        };
        self.outputs.push(OutputReport { class, ..OutputReport::new(id, path, level, findings) });
        Some(bytes)
    }

    /// Level and findings of a file whose digest is not the right one: of a table, every entry that differs.
    fn compared(
        &self,
        path: &str,
        table: Option<&TableEntry>,
        bytes: &[u8],
        digest: Finding,
    ) -> (Level, Vec<Finding>) {
        let Some(entry) = table else {
            return (Level::Differs, vec![digest]);
        };
        let schema: Schema = entry.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
        let found = match Table::from_csv(path, &schema, bytes) {
            Ok(found) => found,
            Err(error) => return (Level::Damaged, vec![Finding::of_error(path, &error), digest]),
        };
        let reference = self.expected.path(path);
        let name = reference.display().to_string();
        let compared = output::read(&reference)
            .and_then(|bytes| Table::from_csv(&name, &schema, &bytes))
            .and_then(|reference| compare_tables(path, &found, &reference, entry));
        let within = |findings: &[Finding]| {
            findings.iter().all(|finding| finding.kind == Kind::WithinTolerance)
        };
        match compared {
            Ok(mut findings) => {
                let level = if within(&findings) { Level::Tolerance } else { Level::Differs };
                findings.push(digest);
                (level, findings)
            }
            // expected by an earlier version of the item, or not kept
            Err(error) => (Level::Differs, vec![digest, Finding::of_error(&name, &error)]),
        }
    }
}
