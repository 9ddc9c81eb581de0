//! The store of cell results: content keys, atomic writes, re-hashed on every read.
//!
//! `<dir>/<first two digits>/<key>.csv` holds the result, `<key>.json` its [`Receipt`]. `<key>.lease` exists
//! while a process computes the cell, so that several processes and hosts on one store share the work.
//! Modification times mean nothing here.

mod check;

pub use check::Finding;

use crate::digest::sha256;
use crate::lock::{Attempt, Lock};
use crate::manifest::canonical_json;
use crate::table::{Schema, Table};
use crate::{ArtifactError, output};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Version of the key's format.
const KEY_VERSION: &str = "icl-cell/1";
/// File whose lock is held while a profile's folder is replaced.
const PUBLISH_LOCK: &str = "publish.lock";
const CSV: &str = "csv";
const RECEIPT: &str = "json";
const LEASE: &str = "lease";

/// SHA-256 over the canonical specification of a cell and the digest of the source that can change numbers.
pub fn key(source_digest: &str, specification: &Value) -> String {
    // serde_json's map is sorted by key: equal values have equal text
    sha256(json!([KEY_VERSION, source_digest, specification]).to_string().as_bytes())
}

/// What a result is of, and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// SHA-256 of the CSV.
    pub sha256: String,
    /// Digest of the source that computed it.
    pub source_digest: String,
    /// Everything else that it depends on.
    pub specification: Value,
}

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
    /// An entry that does not match its receipt, and why.
    Damaged(String),
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

    /// Temporary files and leases of processes that no longer run.
    fn remove_leftovers(&self) {
        output::remove_leftovers(&self.dir);
        for folder in check::folders(&self.dir) {
            output::remove_leftovers(&folder);
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()).filter(|path| check::is_lease(path)) {
                // a lease that can be taken has no owner; dropping it removes it
                drop(Lock::attempt(&path));
            }
        }
    }

    fn path(&self, key: &str, extension: &str) -> PathBuf {
        self.dir.join(key.get(..2).unwrap_or("__")).join(format!("{key}.{extension}"))
    }

    /// Looks a key up.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if an existing file cannot be read.
    pub fn get(&self, key: &str, schema: &Schema) -> Result<Lookup, ArtifactError> {
        let (csv, receipt) = (self.path(key, CSV), self.path(key, RECEIPT));
        if !csv.exists() || !receipt.exists() {
            return Ok(Lookup::Miss);
        }
        let (bytes, recorded) = (output::read(&csv)?, output::read(&receipt)?);
        if let Err(finding) = check::entry(key, &csv, &bytes, &receipt, &recorded) {
            return Ok(Lookup::Damaged(finding));
        }
        Ok(match Table::from_csv(&csv.display().to_string(), schema, &bytes) {
            Ok(table) => Lookup::Hit(table, sha256(&bytes)),
            Err(error) => Lookup::Damaged(error.to_string()),
        })
    }

    /// Stores a result and returns its SHA-256; the receipt comes last, so an interrupted write counts as
    /// absent.
    ///
    /// # Errors
    /// [`ArtifactError`] if it cannot be written.
    pub fn put(
        &self,
        source_digest: &str,
        specification: &Value,
        table: &Table,
    ) -> Result<String, ArtifactError> {
        let key = key(source_digest, specification);
        let (csv, receipt) = (self.path(&key, CSV), self.path(&key, RECEIPT));
        let bytes = table.to_csv()?;
        let content = Receipt {
            sha256: sha256(&bytes),
            source_digest: source_digest.to_owned(),
            specification: specification.clone(),
        };
        output::create_dir(csv.parent().unwrap_or(&self.dir))?;
        output::write_atomically(&csv, &bytes)?;
        output::write_atomically(&receipt, &canonical_json(&content)?)?;
        Ok(content.sha256)
    }

    /// Tries to take the right to compute a cell.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if its folder cannot be created.
    pub fn lease(&self, key: &str) -> Result<Attempt, ArtifactError> {
        let path = self.path(key, LEASE);
        output::create_dir(path.parent().unwrap_or(&self.dir))?;
        Ok(Lock::attempt(&path))
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

    fn table() -> Table {
        Table::builder("t").floats("x", vec![0.5, 0.25]).build().unwrap()
    }

    #[test]
    fn a_result_is_restored_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (schema, specification) = (table().schema(), json!({"seed": 1}));
        let key = key("source", &specification);
        assert!(matches!(store.get(&key, &schema).unwrap(), Lookup::Miss));
        store.put("source", &specification, &table()).unwrap();
        assert!(matches!(store.get(&key, &schema).unwrap(), Lookup::Hit(t, _) if t.rows() == 2));
        std::fs::write(store.path(&key, CSV), "x\n0.5\n0.26\n").unwrap();
        let Lookup::Damaged(reason) = store.get(&key, &schema).unwrap() else { panic!("hit") };
        assert!(reason.contains(&key), "{reason}");
    }

    #[test]
    fn an_entry_under_another_key_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.put("source", &json!({"seed": 1}), &table()).unwrap();
        let (one, two) = (key("source", &json!({"seed": 1})), key("source", &json!({"seed": 2})));
        std::fs::create_dir_all(store.path(&two, CSV).parent().unwrap()).unwrap();
        for extension in [CSV, RECEIPT] {
            std::fs::rename(store.path(&one, extension), store.path(&two, extension)).unwrap();
        }
        let found = store.get(&two, &table().schema()).unwrap();
        assert!(matches!(found, Lookup::Damaged(_)), "{found:?}");
    }

    #[test]
    fn a_lease_of_a_dead_process_is_removed_and_a_users_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ab")).unwrap();
        let lease = dir.path().join("ab").join(format!("ab{}.lease", "0".repeat(62)));
        let film = dir.path().join("ab/.movie.part");
        let own = dir.path().join("ab/my.lease");
        for path in [&lease, &film, &own] {
            std::fs::write(path, "").unwrap();
        }
        Store::open(dir.path()).unwrap();
        assert!(!lease.exists() && film.exists() && own.exists());
    }
}
