//! Every file of a store against what it should be.

use super::entry::{self, Version};
use super::names::{self, Part};
use super::{PUBLISH_LOCK, Store};
use crate::finding::Finding;
use crate::lock::Lock;
use crate::output;
use icl_numerics::threads::Threads;
use std::collections::BTreeSet;
use std::path::Path;

/// What a check of the store came to.
#[derive(Debug, Default, PartialEq)]
pub struct Checked {
    /// What is damaged, incomplete or foreign, by whole path.
    pub findings: Vec<Finding>,
    /// What is passed over, or kept although no run reads it.
    pub notes: Vec<String>,
}

impl Store {
    /// Re-hashes every entry and checkpoint and names everything that is damaged, incomplete or foreign. Hidden
    /// files and what other processes have in work are passed over.
    pub fn check(&self, threads: &Threads) -> Checked {
        let mut checked = Checked::default();
        let listed = match output::folder::entries(&self.dir) {
            Ok(listed) => listed,
            Err(error) => {
                let finding = Finding::of_error(&self.dir.display().to_string(), &error);
                return Checked { findings: vec![finding], ..checked };
            }
        };
        let (mut keys, mut checkpoints) = (BTreeSet::new(), Vec::new());
        for entry in listed {
            let path = self.dir.join(&entry.path);
            let passed_over = |why: &str| format!("{}: passed over{why}", path.display());
            match names::parse(&path) {
                Some((_, Part::Lease)) => checked.notes.push(passed_over("")),
                Some((key, Part::Checkpoint(name))) if entry.regular => {
                    checkpoints.push((key.to_owned(), name.to_owned()));
                }
                Some((key, _)) if entry.regular => _ = keys.insert(key.to_owned()),
                _ if entry.path == PUBLISH_LOCK => {}
                _ if output::is_passed_over(&entry.path) => checked.notes.push(passed_over("")),
                _ => {
                    let file = path.display().to_string();
                    checked.findings.push(Finding::foreign(&file, "entries of the store only"));
                }
            }
        }
        self.check_entries(threads, &keys, &mut checked);
        for (key, name) in checkpoints {
            self.check_checkpoint(&key, &name, &mut checked);
        }
        checked.findings.sort_by(|a, b| a.file.cmp(&b.file));
        checked
    }

    fn check_entries(&self, threads: &Threads, keys: &BTreeSet<String>, checked: &mut Checked) {
        let mut earlier = 0;
        let keys: Vec<&String> = keys.iter().collect();
        let results = threads.map(keys.len(), || (), |(), i| self.check_entry(keys[i]));
        for result in results {
            match result {
                Ok(Some(Version::Earlier)) => earlier += 1,
                Ok(_) => {}
                Err(finding) => checked.findings.push(*finding),
            }
        }
        if earlier > 0 {
            let dir = self.dir.display();
            checked.notes.push(format!(
                "{dir}: results of an earlier version: {earlier}; they are kept, and no run reads them"
            ));
        }
    }

    /// The version that wrote an entry; none if it is not all there and another process may be the reason.
    fn check_entry(&self, key: &str) -> Result<Option<Version>, Box<Finding>> {
        let (csv, receipt) = (self.path(key, Part::Result), self.path(key, Part::Receipt));
        let missing = |path: &Path, beside: &str| {
            let hint = "a run computes the cell again";
            Err(Box::new(Finding::missing(&path.display().to_string(), beside, hint)))
        };
        match (csv.exists(), receipt.exists()) {
            (true, true) => {}
            // another process may have removed or replaced both meanwhile
            (false, false) => return Ok(None),
            // between the two writes of another process
            (true, false) if self.path(key, Part::Lease).exists() => return Ok(None),
            (true, false) => return missing(&receipt, "a receipt beside its result"),
            (false, true) => return missing(&csv, "a result beside its receipt"),
        }
        let read = |path: &Path| {
            let file = path.display().to_string();
            output::read(path).map_err(|error| Box::new(Finding::of_error(&file, &error)))
        };
        entry::check(&self.dir, key, &read(&csv)?, &read(&receipt)?).map(Some)
    }

    fn check_checkpoint(&self, key: &str, name: &str, checked: &mut Checked) {
        let path = self.path(key, Part::Checkpoint(name));
        if Lock::is_held(&self.path(key, Part::Lease)) {
            checked.notes.push(format!("{}: passed over: in work", path.display()));
            return;
        }
        match self.load_checkpoint(key, name) {
            Err(finding) => checked.findings.push(*finding),
            // another process may have removed it meanwhile
            Ok(None) => {}
            Ok(Some(_)) => {
                let text = "of an unfinished cell; the next run goes on from it";
                checked.notes.push(format!("{}: {text}", path.display()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Kind;
    use crate::lock::Attempt;
    use crate::store::key;
    use crate::table::Table;
    use crate::{Class, digest::sha256};
    use serde_json::json;

    /// A store with one result, and its key.
    fn store(dir: &Path) -> (Store, String) {
        let store = Store::open(dir).unwrap();
        let table = Table::builder("t").floats("x", vec![0.5]).build().unwrap();
        let specification = json!({"item": "a", "seed": 1});
        store.put(Class::Exact, "source", &specification, &table).unwrap();
        (store, key(Class::Exact, "source", &specification))
    }

    #[test]
    fn every_flipped_bit_and_every_foreign_or_lone_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = store(dir.path());
        assert_eq!(store.check(&Threads::One), Checked::default());
        for part in [Part::Result, Part::Receipt] {
            let path = store.path(&key, part);
            let good = std::fs::read(&path).unwrap();
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, bad).unwrap();
                let Checked { findings, .. } = store.check(&Threads::One);
                assert_eq!(findings.len(), 1, "bit {bit} of {part:?}");
                assert!(findings[0].file.contains(&key));
            }
            std::fs::write(&path, good).unwrap();
        }
        let folder = names::folder(dir.path(), &key);
        std::fs::write(folder.join("notes.txt"), "x").unwrap();
        std::fs::write(folder.join(".DS_Store"), "x").unwrap();
        let Checked { findings, notes } = store.check(&Threads::One);
        assert!(findings[0].kind == Kind::Foreign && findings[0].file.ends_with("notes.txt"));
        assert!(notes[0].contains(".DS_Store"));
        std::fs::remove_file(folder.join("notes.txt")).unwrap();
        std::fs::remove_file(store.path(&key, Part::Result)).unwrap();
        let Checked { findings, .. } = store.check(&Threads::One);
        assert!(findings[0].file.ends_with(".csv") && findings.len() == 1);
    }

    #[test]
    fn a_checkpoint_is_noted_a_damaged_one_found_and_one_in_work_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (store, key) = (Store::open(dir.path()).unwrap(), "ab".repeat(32));
        store.save_checkpoint(&key, "training", b"half").unwrap();
        let Checked { findings, notes } = store.check(&Threads::One);
        assert!(findings.is_empty() && notes[0].contains("goes on from it"), "{notes:?}");
        let path = store.path(&key, Part::Checkpoint("training"));
        std::fs::write(&path, "damaged").unwrap();
        let Checked { findings, .. } = store.check(&Threads::One);
        assert!(findings.len() == 1 && findings[0].file.ends_with("training.checkpoint"));
        let lease = store.lease(&key).unwrap();
        assert!(matches!(lease, Attempt::Taken(_)));
        let Checked { findings, notes } = store.check(&Threads::One);
        assert!(findings.is_empty() && notes.iter().any(|note| note.contains("in work")));
        drop(lease);
        assert_eq!(store.check(&Threads::One).findings.len(), 1);
    }

    #[test]
    fn an_entry_without_a_class_is_kept_and_said_to_be_of_an_earlier_version() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (csv, specification) = ("x\n0.5\n", json!({"seed": 1}));
        let text = json!(["icl-cell/1", "source", specification]).to_string();
        let key = sha256(text.as_bytes());
        let receipt = format!(
            "{{\n  \"sha256\": \"{}\",\n  \"source_digest\": \"source\",\n  \"specification\": {{\n    \"seed\": 1\n  }}\n}}\n",
            sha256(csv.as_bytes())
        );
        std::fs::create_dir(names::folder(dir.path(), &key)).unwrap();
        std::fs::write(store.path(&key, Part::Result), csv).unwrap();
        std::fs::write(store.path(&key, Part::Receipt), &receipt).unwrap();
        let Checked { findings, notes } = store.check(&Threads::One);
        assert!(findings.is_empty() && notes[0].contains("earlier version: 1"), "{notes:?}");
        // under a key of this version it is damaged
        let asked = crate::store::key(Class::Exact, "source", &specification);
        std::fs::create_dir_all(names::folder(dir.path(), &asked)).unwrap();
        std::fs::write(store.path(&asked, Part::Result), csv).unwrap();
        std::fs::write(store.path(&asked, Part::Receipt), &receipt).unwrap();
        let Checked { findings, .. } = store.check(&Threads::One);
        assert!(findings.len() == 1 && findings[0].file.contains(&asked), "{findings:?}");
    }
}
