//! The store of cell results: content keys, atomic writes, re-hashed on every read.
//!
//! `<dir>/<first two digits>/<key>.csv` holds the result, `<key>.json` its [`Receipt`]. `<key>.lease` exists
//! while a process computes the cell, so that several processes and hosts on one store share the work;
//! `<key>.<name>.checkpoint` holds how far it has come. Modification times mean nothing here.

mod check;
mod checkpoint;
mod entry;
mod names;

pub use check::Checked;
pub use entry::{Receipt, key};

use crate::digest::sha256;
use crate::finding::Finding;
use crate::lock::{Attempt, Lock};
use crate::manifest::canonical_json;
use crate::table::{Schema, Table};
use crate::{ArtifactError, Class, output};
use entry::Version;
use names::Part;
pub(crate) use names::is_checkpoint_name;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// File whose lock is held while a profile's folder is replaced.
const PUBLISH_LOCK: &str = "publish.lock";

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// What the store knows of a key.
#[derive(Debug)]
pub enum Lookup {
    /// The result, and the SHA-256 of its CSV.
    Hit(Table, String),
    /// Nothing.
    Miss,
    /// An entry that does not match its receipt.
    Damaged(Finding),
}

impl Store {
    /// Opens or creates the store and removes what interrupted writes left.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if the folder cannot be used.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        output::create_dir(dir)?;
        let store = Self { dir: dir.to_owned() };
        store.remove_leftovers();
        Ok(store)
    }

    /// A store that is there; nothing of it is changed.
    pub fn existing(dir: &Path) -> Option<Self> {
        dir.is_dir().then(|| Self { dir: dir.to_owned() })
    }

    /// Temporary files and leases of processes that no longer run, checkpoints of cells that have a result.
    fn remove_leftovers(&self) {
        output::remove_leftovers(&self.dir);
        for folder in names::folders(&self.dir) {
            output::remove_leftovers(&folder);
            let files = names::files(&folder);
            let parts = || files.iter().filter_map(|path| Some((path, names::parse(path)?)));
            for (path, _) in parts().filter(|(_, (_, part))| *part == Part::Lease) {
                // a lease that can be taken has no owner; dropping it removes it
                drop(Lock::attempt(path));
            }
            for (_, (key, part)) in parts() {
                let left = matches!(part, Part::Checkpoint(_)) && self.has_result(key);
                if left && !self.path(key, Part::Lease).exists() {
                    self.remove_checkpoints(key);
                }
            }
        }
    }

    fn path(&self, key: &str, part: Part<'_>) -> PathBuf {
        names::path(&self.dir, key, part)
    }

    /// Whether both files of a result are there.
    fn has_result(&self, key: &str) -> bool {
        self.path(key, Part::Result).exists() && self.path(key, Part::Receipt).exists()
    }

    /// Looks a key up.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if an existing file cannot be read.
    pub fn get(&self, key: &str, schema: &Schema) -> Result<Lookup, ArtifactError> {
        if !self.has_result(key) {
            return Ok(Lookup::Miss);
        }
        let path = self.path(key, Part::Result);
        let (bytes, recorded) =
            (output::read(&path)?, output::read(&self.path(key, Part::Receipt))?);
        match entry::check(&self.dir, key, &bytes, &recorded) {
            Ok(Version::Present) => {}
            Ok(Version::Earlier) => return Ok(Lookup::Miss),
            Err(finding) => return Ok(Lookup::Damaged(*finding)),
        }
        let name = path.display().to_string();
        Ok(match Table::from_csv(&name, schema, &bytes) {
            Ok(table) => Lookup::Hit(table, sha256(&bytes)),
            Err(error) => Lookup::Damaged(Finding::of_error(&name, &error)),
        })
    }

    /// Stores a result and returns its SHA-256; the receipt comes last, so an interrupted write counts as
    /// absent. What the cell saved on the way is removed.
    ///
    /// # Errors
    /// [`ArtifactError`] if it cannot be written.
    pub fn put(
        &self,
        class: Class,
        source_digest: &str,
        specification: &Value,
        table: &Table,
    ) -> Result<String, ArtifactError> {
        let key = key(class, source_digest, specification);
        let bytes = table.to_csv()?;
        let content = Receipt {
            class,
            sha256: sha256(&bytes),
            source_digest: source_digest.to_owned(),
            specification: specification.clone(),
        };
        output::create_dir(&names::folder(&self.dir, &key))?;
        output::write_atomically(&self.path(&key, Part::Result), &bytes)?;
        let receipt = canonical_json(&content)?;
        output::write_atomically(&self.path(&key, Part::Receipt), &receipt)?;
        self.remove_checkpoints(&key);
        Ok(content.sha256)
    }

    /// Tries to take the right to compute a cell.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if its folder cannot be created.
    pub fn lease(&self, key: &str) -> Result<Attempt, ArtifactError> {
        output::create_dir(&names::folder(&self.dir, key))?;
        Ok(Lock::attempt(&self.path(key, Part::Lease)))
    }

    /// Waits for the right to replace a profile's folder; `None` where there are no locks.
    pub fn publishing(&self) -> Option<Lock> {
        Lock::wait(&self.dir.join(PUBLISH_LOCK))
    }

    /// Waits until nobody replaces a profile's folder, and keeps it so.
    pub fn reading(&self) -> Option<Lock> {
        Lock::wait_shared(&self.dir.join(PUBLISH_LOCK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EXACT: Class = Class::Exact;

    fn table() -> Table {
        Table::builder("t").floats("x", vec![0.5, 0.25]).build().unwrap()
    }

    #[test]
    fn a_result_is_restored_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (schema, specification) = (table().schema(), json!({"seed": 1}));
        let key = key(EXACT, "source", &specification);
        assert!(matches!(store.get(&key, &schema).unwrap(), Lookup::Miss));
        store.put(EXACT, "source", &specification, &table()).unwrap();
        assert!(matches!(store.get(&key, &schema).unwrap(), Lookup::Hit(t, _) if t.rows() == 2));
        std::fs::write(store.path(&key, Part::Result), "x\n0.5\n0.26\n").unwrap();
        let Lookup::Damaged(finding) = store.get(&key, &schema).unwrap() else { panic!("hit") };
        assert!(finding.file.contains(&key), "{finding:?}");
    }

    #[test]
    fn a_result_of_a_device_is_never_restored_as_an_exact_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let specification = json!({"seed": 1});
        store.put(Class::Cuda, "source", &specification, &table()).unwrap();
        let get = |class| {
            let key = key(class, "source", &specification);
            store.get(&key, &table().schema()).unwrap()
        };
        assert!(matches!(get(EXACT), Lookup::Miss));
        assert!(matches!(get(Class::Cuda), Lookup::Hit(..)));
        // nor does an altered receipt make it one
        let receipt = store.path(&key(Class::Cuda, "source", &specification), Part::Receipt);
        let text = std::fs::read_to_string(&receipt).unwrap().replace("cuda", "exact");
        std::fs::write(&receipt, text).unwrap();
        assert!(matches!(get(Class::Cuda), Lookup::Damaged(_)));
    }

    #[test]
    fn an_entry_under_another_key_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put(EXACT, "source", &json!({"seed": 1}), &table()).unwrap();
        let [one, two] = [1, 2].map(|seed| key(EXACT, "source", &json!({ "seed": seed })));
        std::fs::create_dir_all(names::folder(dir.path(), &two)).unwrap();
        for part in [Part::Result, Part::Receipt] {
            std::fs::rename(store.path(&one, part), store.path(&two, part)).unwrap();
        }
        let found = store.get(&two, &table().schema()).unwrap();
        assert!(matches!(found, Lookup::Damaged(_)), "{found:?}");
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_a_users_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let specification = json!({"seed": 1});
        let done = key(EXACT, "source", &specification);
        store.put(EXACT, "source", &specification, &table()).unwrap();
        store.save_checkpoint(&done, "training", b"between result and end").unwrap();
        let unfinished = key(EXACT, "source", &json!({"seed": 2}));
        store.save_checkpoint(&unfinished, "training", b"half").unwrap();
        let lease = store.path(&unfinished, Part::Lease);
        let folder = names::folder(dir.path(), &unfinished);
        let [film, own] = [".movie.part", "my.training.checkpoint"].map(|name| folder.join(name));
        for path in [&lease, &film, &own] {
            std::fs::write(path, "").unwrap();
        }
        Store::open(dir.path()).unwrap();
        assert!(!lease.exists() && film.exists() && own.exists());
        let kept = |key: &str| store.load_checkpoint(key, "training").unwrap();
        assert_eq!((kept(&done), kept(&unfinished)), (None, Some(b"half".to_vec())));
    }
}
