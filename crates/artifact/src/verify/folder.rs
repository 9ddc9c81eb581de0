//! The folder of a run: every file, every list, and what is in none.

use super::expected::Expectation;
use super::{Difference, Expected, Level, OutputReport, compare_tables, parse_claims};
use crate::claim::Claim;
use crate::digest::sha256;
use crate::manifest::{self, MANIFEST, Manifest, RUN, RUN_FILES, RUN_SUMS, SUMS, TableEntry};
use crate::output::{self, folder::MARKER};
use crate::table::{Schema, Table};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A folder that is being checked, and what was found so far.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    expected: &'a Expected,
    expectation: Option<&'a Expectation>,
    pub(super) sums_text: Vec<u8>,
    recorded: BTreeMap<String, String>,
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

    fn report(&mut self, item: &str, path: &str, level: Level, detail: impl Into<String>) {
        self.outputs.push(OutputReport::new(item, path, level, detail));
    }

    /// A list of digests, as far as it can be read.
    fn read_sums(&mut self, name: &str) -> BTreeMap<String, String> {
        let bytes = match output::read(&self.dir.join(name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.report("", name, Level::Missing, error.to_string());
                return BTreeMap::new();
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let (sums, faults) = manifest::parse_sums(&text);
        for fault in &faults {
            self.report("", name, Level::Damaged, fault.as_str());
        }
        let lines = |(path, digest): (&String, &String)| format!("{digest}  {path}\n");
        let canonical: String = sums.iter().map(lines).collect();
        if faults.is_empty() && canonical.as_bytes() != bytes {
            self.report(
                "",
                name,
                Level::Damaged,
                "lines that are not sorted, or twice, or not ended",
            );
        }
        sums
    }

    fn read_manifest(&mut self) {
        let bytes = match output::read(&self.dir.join(MANIFEST)) {
            Ok(bytes) => bytes,
            Err(error) => return self.report("", MANIFEST, Level::Missing, error.to_string()),
        };
        let found = sha256(&bytes);
        let recorded = self.recorded.get(MANIFEST).cloned().unwrap_or_else(|| "nothing".into());
        match Manifest::parse(&self.dir.join(MANIFEST), &bytes) {
            Ok(manifest) => self.manifest = Some(manifest),
            Err(error) => return self.report("", MANIFEST, Level::Damaged, error.to_string()),
        }
        if found != recorded {
            let detail = format!("SHA-256 found {found}, {SUMS} says {recorded}");
            return self.report("", MANIFEST, Level::Differs, detail);
        }
        let expected = self.expectation.and_then(|expectation| expectation.digest(MANIFEST));
        // with other items than expected, the files decide
        let level = if expected == Some(&found) { Level::Bits } else { Level::Integrity };
        self.report("", MANIFEST, level, "");
    }

    /// Checks all there is.
    pub(super) fn check(&mut self) {
        for (id, item) in self.manifest.clone().map(|manifest| manifest.items).unwrap_or_default() {
            for (path, digest) in item.files() {
                let bytes = self.file(&id, path, digest, item.tables.get(path));
                if let Some(bytes) = bytes.filter(|_| path == item.claims.path) {
                    match parse_claims(&self.dir.join(path), &bytes) {
                        Ok(claims) => self.claims.extend(claims),
                        Err(error) => self.report(&id, path, Level::Damaged, error.to_string()),
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
        item: &str,
        path: &str,
        manifest_digest: &str,
        table: Option<&TableEntry>,
    ) -> Option<Vec<u8>> {
        let Ok(bytes) = output::read(&self.dir.join(path)) else {
            self.report(item, path, Level::Missing, "regenerate it with `icl run`");
            return None;
        };
        let found = sha256(&bytes);
        let recorded = self.recorded.get(path).cloned().unwrap_or_else(|| "nothing".into());
        if found == manifest_digest && found != recorded {
            let detail = format!("{path}: SHA-256 found {found}, the list says {recorded}");
            self.report(item, SUMS, Level::Differs, detail);
        } else if found == recorded && found != manifest_digest {
            let detail =
                format!("{path}: SHA-256 found {found}, the manifest says {manifest_digest}");
            self.report(item, MANIFEST, Level::Differs, detail);
        }
        let intact = found == manifest_digest || found == recorded;
        let wanted = self.expectation.and_then(|expectation| expectation.digest(path));
        let (level, detail) = match wanted {
            _ if !intact => {
                let digests = format!("SHA-256 found {found}, recorded {manifest_digest}");
                self.compared(path, table, &bytes, false, digests)
            }
            Some(wanted) if wanted == found => (Level::Bits, String::new()),
            Some(wanted) => {
                let digests = format!("SHA-256 found {found}, expected {wanted}");
                self.compared(path, table, &bytes, true, digests)
            }
            None => (Level::Integrity, "no expected output of this name".into()),
        };
        self.report(item, path, level, detail);
        Some(bytes)
    }

    /// Level and text of a file whose digest is not the right one: of a table, where it differs.
    fn compared(
        &self,
        path: &str,
        table: Option<&TableEntry>,
        bytes: &[u8],
        intact: bool,
        digests: String,
    ) -> (Level, String) {
        let Some(entry) = table else {
            return (Level::Differs, digests);
        };
        let schema: Schema = entry.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
        let name = self.dir.join(path).display().to_string();
        let found = match Table::from_csv(&name, &schema, bytes) {
            Ok(found) => found,
            Err(error) => return (Level::Damaged, format!("{error}; {digests}")),
        };
        let reference = self.expected.path(path);
        let reference = output::read(&reference)
            .and_then(|bytes| Table::from_csv(&reference.display().to_string(), &schema, &bytes));
        match reference.and_then(|reference| compare_tables(&found, &reference, entry)) {
            Ok(Difference { within: true, text }) if intact => (Level::Tolerance, text),
            Ok(Difference { text, .. }) => (Level::Differs, format!("{text}; {digests}")),
            // expected by an earlier version of the item, or not kept
            Err(error) => (Level::Differs, format!("{digests}; {error}")),
        }
    }

    /// Files that the list names and the manifest does not.
    fn only_recorded(&mut self) {
        let known: BTreeSet<&str> = match &self.manifest {
            Some(manifest) => manifest.files().map(|(path, _)| path).collect(),
            None => BTreeSet::new(),
        };
        let others: Vec<(String, String)> = self
            .recorded
            .iter()
            .filter(|(path, _)| path.as_str() != MANIFEST && !known.contains(path.as_str()))
            .map(|(path, digest)| (path.clone(), digest.clone()))
            .collect();
        let readable = self.manifest.is_some();
        for (path, digest) in others {
            let found = output::read(&self.dir.join(&path)).map(|bytes| sha256(&bytes));
            let (level, detail) = match found {
                Err(error) => (Level::Missing, error.to_string()),
                Ok(found) if found != digest => {
                    (Level::Differs, format!("SHA-256 found {found}, {SUMS} says {digest}"))
                }
                Ok(_) if readable => (Level::Differs, format!("in {SUMS} but not in {MANIFEST}")),
                Ok(_) => (Level::Integrity, String::new()),
            };
            self.report("", &path, level, detail);
        }
    }

    /// What belongs to the run: its record, the host, and their digests.
    fn run_files(&mut self) {
        let sums = self.read_sums(RUN_SUMS);
        for name in RUN_FILES {
            let found = output::read(&self.dir.join(name)).map(|bytes| sha256(&bytes));
            match (found, sums.get(name)) {
                (Ok(found), Some(recorded)) if found == *recorded => {}
                (Ok(found), recorded) => {
                    let recorded = recorded.map_or("nothing", String::as_str);
                    let detail = format!("SHA-256 found {found}, {RUN_SUMS} says {recorded}");
                    self.report("", name, Level::Differs, detail);
                }
                (Err(error), _) => self.report("", name, Level::Missing, error.to_string()),
            }
        }
        for path in sums.keys().filter(|path| !RUN_FILES.contains(&path.as_str())) {
            self.report("", RUN_SUMS, Level::Differs, format!("it names {path}"));
        }
        let record = output::read(&self.dir.join(RUN)).ok();
        let record: Option<serde_json::Value> =
            record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let ids = record.as_ref().and_then(|record| record["items"].as_object());
        if let (Some(ids), Some(manifest)) = (ids, self.manifest.clone()) {
            for id in ids.keys().filter(|id| !manifest.items.contains_key(*id)) {
                let detail =
                    format!("item {id}: in {RUN}, not in the manifest; `icl run {id}` restores it");
                self.report(id, MANIFEST, Level::Missing, detail);
            }
            for id in manifest.items.keys().filter(|id| !ids.contains_key(*id)) {
                self.report(
                    id,
                    RUN,
                    Level::Missing,
                    format!("item {id}: in the manifest, not in {RUN}"),
                );
            }
        }
    }

    /// Files that no list names.
    fn unlisted(&mut self) {
        let mut known: BTreeSet<String> = self.recorded.keys().cloned().collect();
        if let Some(manifest) = &self.manifest {
            known.extend(manifest.files().map(|(path, _)| path.to_owned()));
        }
        known.extend([MANIFEST, SUMS, RUN_SUMS].into_iter().chain(RUN_FILES).map(str::to_owned));
        let entries = match output::folder::entries(self.dir) {
            Ok(entries) => entries,
            Err(error) => return self.report("", ".", Level::Damaged, error.to_string()),
        };
        for entry in entries {
            if entry.path == MARKER {
                let detail =
                    "the folder was being replaced when a run ended; `icl run` completes it";
                self.report("", MARKER, Level::Damaged, detail);
            } else if output::is_passed_over(&entry.path) {
                self.notes.push(format!("{}: passed over", self.dir.join(&entry.path).display()));
            } else if !(entry.regular && known.contains(&entry.path) || self.leads_on(&entry.path))
            {
                let detail = "no list names it: not an output of this run; move it away";
                self.report("", &entry.path, Level::Unlisted, detail);
            }
        }
    }

    /// Whether a link stands for a folder of outputs.
    fn leads_on(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.dir.join(path).is_dir() && self.recorded.keys().any(|known| known.starts_with(&below))
    }
}
