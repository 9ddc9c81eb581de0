//! The store of cell results: content keys, atomic writes, re-hashed on every read.
//!
//! `<dir>/<first two digits>/<key>.csv` holds the result, `<key>.json` its receipt: specification and
//! SHA-256 of the CSV. Modification times mean nothing here.

use crate::digest::sha256;
use crate::table::{Schema, Table};
use crate::{ArtifactError, output};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// What the store knows of a key.
#[derive(Debug)]
pub enum Lookup {
    /// The result.
    Hit(Table),
    /// Nothing.
    Miss,
    /// An entry that does not match its receipt, and why.
    Damaged(String),
}

impl Store {
    /// Opens or creates the store and removes what an interrupted write left.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if the folder cannot be used.
    pub fn open(dir: &Path) -> Result<Self, ArtifactError> {
        output::create_dir(dir)?;
        let store = Self { dir: dir.to_owned() };
        output::remove_leftovers(dir)?;
        Ok(store)
    }

    fn paths(&self, key: &str) -> (PathBuf, PathBuf) {
        let folder = self.dir.join(key.get(..2).unwrap_or("__"));
        (folder.join(format!("{key}.csv")), folder.join(format!("{key}.json")))
    }

    /// Looks a key up.
    ///
    /// # Errors
    /// [`ArtifactError::File`] if an existing file cannot be read.
    pub fn get(&self, key: &str, schema: &Schema) -> Result<Lookup, ArtifactError> {
        let (csv, receipt) = self.paths(key);
        if !csv.exists() || !receipt.exists() {
            return Ok(Lookup::Miss);
        }
        let bytes = output::read(&csv)?;
        let receipt_bytes = output::read(&receipt)?;
        let recorded = serde_json::from_slice::<Value>(&receipt_bytes).ok();
        let recorded = recorded.as_ref().and_then(|r| r["sha256"].as_str()).unwrap_or("nothing");
        let found = sha256(&bytes);
        if found != recorded {
            let text = format!("{}: found SHA-256 {found}, expected {recorded}", csv.display());
            return Ok(Lookup::Damaged(text));
        }
        Ok(match Table::from_csv(&csv.display().to_string(), schema, &bytes) {
            Ok(table) => Lookup::Hit(table),
            Err(error) => Lookup::Damaged(error.to_string()),
        })
    }

    /// Stores a result; the receipt comes last, so an interrupted write counts as absent.
    ///
    /// # Errors
    /// [`ArtifactError`] if it cannot be written.
    pub fn put(
        &self,
        key: &str,
        specification: &Value,
        table: &Table,
    ) -> Result<(), ArtifactError> {
        let (csv, receipt) = self.paths(key);
        let bytes = table.to_csv()?;
        let content = json!({ "specification": specification, "sha256": sha256(&bytes) });
        output::create_dir(csv.parent().unwrap_or(&self.dir))?;
        output::write_atomically(&csv, &bytes)?;
        output::write_atomically(&receipt, format!("{content:#}\n").as_bytes())
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
        let schema = table().schema();
        assert!(matches!(store.get("abcd", &schema).unwrap(), Lookup::Miss));
        store.put("abcd", &json!({"seed": 1}), &table()).unwrap();
        assert!(matches!(store.get("abcd", &schema).unwrap(), Lookup::Hit(t) if t.rows() == 2));
        let csv = dir.path().join("ab/abcd.csv");
        std::fs::write(&csv, "x\n0.5\n0.26\n").unwrap();
        let Lookup::Damaged(reason) = store.get("abcd", &schema).unwrap() else { panic!("hit") };
        assert!(reason.contains("abcd.csv"), "{reason}");
    }

    #[test]
    fn leftovers_of_an_interrupted_write_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ab")).unwrap();
        let leftover = dir.path().join("ab/.abcd.csv.4711.part");
        std::fs::write(&leftover, "x\n0.").unwrap();
        Store::open(dir.path()).unwrap();
        assert!(!leftover.exists());
    }
}
