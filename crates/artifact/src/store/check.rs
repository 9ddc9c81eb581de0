//! Every file of a store against what it should be.

use super::{CSV, LEASE, PUBLISH_LOCK, RECEIPT, Receipt, Store, key};
use crate::digest::sha256;
use crate::manifest::canonical_json;
use crate::output;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Something in the store that should not be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: PathBuf,
    /// What was found and expected.
    pub detail: String,
    /// Whether the file is not one of the store, rather than damaged.
    pub foreign: bool,
}

/// Whether text is `n` lower-case hexadecimal digits.
fn is_hexadecimal(text: &str, n: usize) -> bool {
    text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folders of entries, not links to such.
pub(super) fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| is_hexadecimal(name, 2)))
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders
}

/// The key and the extension in the name of a file of the store.
fn parts(path: &Path) -> Option<(&str, &str)> {
    let (stem, extension) = path.file_name()?.to_str()?.split_once('.')?;
    let folder = path.parent()?.file_name()?.to_str()?;
    let known = [CSV, RECEIPT, LEASE].contains(&extension);
    (known && is_hexadecimal(stem, 64) && stem.starts_with(folder)).then_some((stem, extension))
}

pub(super) fn is_lease(path: &Path) -> bool {
    parts(path).is_some_and(|(_, extension)| extension == LEASE)
}

/// An entry's result against its receipt, and the receipt against its key; the error names the file.
pub(super) fn entry(
    wanted: &str,
    csv: &Path,
    bytes: &[u8],
    receipt: &Path,
    recorded: &[u8],
) -> Result<(), String> {
    let at = |path: &Path, text: String| Err(format!("{}: {text}", path.display()));
    let content: Receipt = match serde_json::from_slice(recorded) {
        Ok(content) => content,
        Err(error) => return at(receipt, format!("not a receipt: {error}")),
    };
    let canonical = canonical_json(&content).unwrap_or_default();
    if canonical != recorded {
        return at(receipt, "other bytes than a receipt of its content has".into());
    }
    let found = key(&content.source_digest, &content.specification);
    if found != wanted {
        return at(receipt, format!("it is of key {found}, expected {wanted}"));
    }
    let found = sha256(bytes);
    if found != content.sha256 {
        return at(csv, format!("found SHA-256 {found}, its receipt says {}", content.sha256));
    }
    Ok(())
}

impl Store {
    /// Re-hashes every entry and names everything that is damaged, incomplete or foreign; the second list
    /// holds entries that are passed over: hidden files, and what other processes have in work.
    pub fn check(&self) -> (Vec<Finding>, Vec<PathBuf>) {
        let (mut findings, mut passed_over) = (Vec::new(), Vec::new());
        let mut keys = BTreeSet::new();
        let listed = match output::folder::entries(&self.dir) {
            Ok(listed) => listed,
            Err(error) => {
                let detail = error.to_string();
                return (
                    vec![Finding { path: self.dir.clone(), detail, foreign: false }],
                    passed_over,
                );
            }
        };
        for entry in listed {
            let path = self.dir.join(&entry.path);
            match parts(&path) {
                Some((_, LEASE)) => passed_over.push(path),
                Some((key, _)) if entry.regular => _ = keys.insert(key.to_owned()),
                _ if entry.path == PUBLISH_LOCK => {}
                _ if output::is_passed_over(&entry.path) => passed_over.push(path),
                _ => {
                    let detail = "not an entry of the store; move it away".to_owned();
                    findings.push(Finding { path, detail, foreign: true });
                }
            }
        }
        let keys: Vec<String> = keys.into_iter().collect();
        findings
            .extend(keys.par_iter().filter_map(|key| self.check_entry(key)).collect::<Vec<_>>());
        findings.sort();
        (findings, passed_over)
    }

    fn check_entry(&self, key: &str) -> Option<Finding> {
        let (csv, receipt) = (self.path(key, CSV), self.path(key, RECEIPT));
        let finding = |path: &Path, detail: String| {
            Some(Finding { path: path.to_owned(), detail, foreign: false })
        };
        let bytes = match (csv.exists(), receipt.exists()) {
            (true, true) => {
                output::read(&csv).and_then(|bytes| Ok((bytes, output::read(&receipt)?)))
            }
            // another process may have removed or replaced both meanwhile
            (false, false) => return None,
            // between the two writes of another process
            (true, false) if self.path(key, LEASE).exists() => return None,
            (true, false) => return finding(&receipt, "missing beside its result".into()),
            (false, true) => return finding(&csv, "missing beside its receipt".into()),
        };
        let (bytes, recorded) = match bytes {
            Ok(both) => both,
            Err(error) => return finding(&csv, error.to_string()),
        };
        let detail = entry(key, &csv, &bytes, &receipt, &recorded).err()?;
        let faulty = if detail.starts_with(&csv.display().to_string()) { &csv } else { &receipt };
        let prefix = format!("{}: ", faulty.display());
        finding(faulty, detail.strip_prefix(&prefix).unwrap_or(&detail).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use serde_json::json;

    #[test]
    fn every_flipped_bit_and_every_foreign_or_lone_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let table = Table::builder("t").floats("x", vec![0.5]).build().unwrap();
        let specification = json!({"item": "a", "seed": 1});
        store.put("source", &specification, &table).unwrap();
        assert_eq!(store.check(), (vec![], vec![]));
        let key = key("source", &specification);
        for extension in [CSV, RECEIPT] {
            let path = store.path(&key, extension);
            let good = std::fs::read(&path).unwrap();
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&path, bad).unwrap();
                let (findings, _) = store.check();
                assert_eq!(findings.len(), 1, "bit {bit} of {extension}");
                assert!(findings[0].path.to_string_lossy().contains(&key));
            }
            std::fs::write(&path, good).unwrap();
        }
        let folder = dir.path().join(&key[..2]);
        std::fs::write(folder.join("notes.txt"), "x").unwrap();
        std::fs::write(folder.join(".DS_Store"), "x").unwrap();
        let (findings, passed_over) = store.check();
        assert!(findings[0].foreign && findings[0].path.ends_with("notes.txt"));
        assert!(passed_over[0].ends_with(".DS_Store"));
        std::fs::remove_file(folder.join("notes.txt")).unwrap();
        std::fs::remove_file(store.path(&key, CSV)).unwrap();
        let (findings, _) = store.check();
        assert!(findings[0].path.extension().unwrap() == CSV && findings.len() == 1);
    }
}
