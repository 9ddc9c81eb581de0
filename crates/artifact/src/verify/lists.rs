//! The lists of a folder: what they say that the manifest does not, what belongs to the run, and what is in none.

use super::folder::Folder;
use super::{Level, OutputReport};
use crate::digest::sha256;
use crate::finding::{Finding, Kind};
use crate::manifest::{self, MANIFEST, PROVENANCE, RUN, RUN_FILES, RUN_SUMS, SUMS};
use crate::output::{self, folder::MARKER};
use std::collections::{BTreeMap, BTreeSet};

impl Folder<'_> {
    /// A list of digests, as far as it can be read.
    pub(super) fn read_sums(&mut self, name: &str) -> BTreeMap<String, String> {
        let bytes = match output::read(&self.dir.join(name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.report("", name, Level::Missing, Finding::of_error(name, &error));
                return BTreeMap::new();
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let (sums, faults) = manifest::parse_sums(&text);
        for fault in &faults {
            let (row, expected) = (Some(fault.line), manifest::SUMS_LINE);
            let finding = Finding::new(Kind::Content, name, format!("`{}`", fault.found), expected);
            self.report("", name, Level::Damaged, Finding { row, ..finding });
        }
        let lines = |(path, digest): (&String, &String)| format!("{digest}  {path}\n");
        let canonical: String = sums.iter().map(lines).collect();
        if faults.is_empty() && canonical.as_bytes() != bytes {
            let found = "lines that are not sorted, or twice, or not ended";
            let expected = "sorted lines, each once";
            let finding = Finding::new(Kind::Content, name, found, expected);
            self.report("", name, Level::Damaged, finding);
        }
        sums
    }

    /// Files that the list names and the manifest does not.
    pub(super) fn only_recorded(&mut self) {
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
            let (level, finding) = match found {
                Err(error) => (Level::Missing, Finding::of_error(&path, &error)),
                Ok(found) if found != digest => {
                    (Level::Differs, Finding::digest(&path, &found, &digest, Some(SUMS)))
                }
                Ok(_) if readable => {
                    let expected = format!("a file that {MANIFEST} names too");
                    let found = format!("a file that only {SUMS} names");
                    (Level::Differs, Finding::new(Kind::Foreign, &path, found, expected))
                }
                Ok(_) => {
                    self.outputs.push(OutputReport::new("", &path, Level::Integrity, []));
                    continue;
                }
            };
            self.report("", &path, level, finding);
        }
    }

    /// What belongs to the run: its record, the host, and their digests.
    pub(super) fn run_files(&mut self) {
        let sums = self.read_sums(RUN_SUMS);
        for name in RUN_FILES {
            let found = output::read(&self.dir.join(name)).map(|bytes| sha256(&bytes));
            match (found, sums.get(name)) {
                (Ok(found), Some(recorded)) if found == *recorded => {}
                (Ok(found), recorded) => {
                    let recorded = recorded.map_or("nothing", String::as_str);
                    let finding = Finding::digest(name, &found, recorded, Some(RUN_SUMS));
                    self.report("", name, Level::Differs, finding);
                }
                (Err(_), None) if name == PROVENANCE => {
                    let file = self.dir.join(name);
                    let text = "not there: the run is of an earlier version; the next one adds it";
                    self.notes.push(format!("{}: {text}", file.display()));
                }
                (Err(error), _) => {
                    self.report("", name, Level::Missing, Finding::of_error(name, &error));
                }
            }
        }
        for path in sums.keys().filter(|path| !RUN_FILES.contains(&path.as_str())) {
            let found = format!("a line of {path}");
            let expected = format!("lines of {} only", RUN_FILES.join(", "));
            let finding = Finding::new(Kind::Foreign, RUN_SUMS, found, expected);
            self.report("", RUN_SUMS, Level::Differs, finding);
        }
        self.recorded_items();
    }

    /// The items of the run's record against those of the manifest.
    fn recorded_items(&mut self) {
        let record = output::read(&self.dir.join(RUN)).ok();
        let record: Option<serde_json::Value> =
            record.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let ids = record.as_ref().and_then(|record| record["items"].as_object());
        let (Some(ids), Some(manifest)) = (ids, self.manifest.clone()) else {
            return;
        };
        let missing = |file: &str, id: &str, by: &str| {
            let expected = format!("item {id}, which {by} names");
            Finding::missing(file, &expected, &format!("`icl run {id}` restores it"))
        };
        for id in ids.keys().filter(|id| !manifest.items.contains_key(*id)) {
            self.report(id, MANIFEST, Level::Missing, missing(MANIFEST, id, RUN));
        }
        for id in manifest.items.keys().filter(|id| !ids.contains_key(*id)) {
            self.report(id, RUN, Level::Missing, missing(RUN, id, MANIFEST));
        }
    }

    /// Files that no list names.
    pub(super) fn unlisted(&mut self) {
        let mut known: BTreeSet<String> = self.recorded.keys().cloned().collect();
        if let Some(manifest) = &self.manifest {
            known.extend(manifest.files().map(|(path, _)| path.to_owned()));
        }
        known.extend([MANIFEST, SUMS, RUN_SUMS].into_iter().chain(RUN_FILES).map(str::to_owned));
        if manifest::is_own_report(self.dir) {
            known.insert(manifest::REPORT.to_owned());
        }
        let entries = match output::folder::entries(self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                return self.report("", ".", Level::Damaged, Finding::of_error(".", &error));
            }
        };
        for entry in entries {
            if entry.path == MARKER {
                let found = "a marker: the folder was being replaced when a run ended";
                let finding = Finding::new(Kind::Content, MARKER, found, "none");
                let finding = finding.with_hint("`icl run` completes it");
                self.report("", MARKER, Level::Damaged, finding);
            } else if output::is_passed_over(&entry.path) {
                self.notes.push(format!("{}: passed over", self.dir.join(&entry.path).display()));
            } else if !(entry.regular && known.contains(&entry.path) || self.leads_on(&entry.path))
            {
                let finding = Finding::foreign(&entry.path, "outputs of this run only");
                self.report("", &entry.path, Level::Unlisted, finding);
            }
        }
    }

    /// Whether a link stands for a folder of outputs.
    fn leads_on(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.dir.join(path).is_dir() && self.recorded.keys().any(|known| known.starts_with(&below))
    }
}
