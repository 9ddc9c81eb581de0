//! Names of the store's files: `<first two digits>/<key>.<part>`, and nothing else is ours.

use std::path::{Path, PathBuf};

const RESULT: &str = "csv";
const RECEIPT: &str = "json";
const LEASE: &str = "lease";
const CHECKPOINT: &str = ".checkpoint";
/// Longest name of a checkpoint.
const LONGEST: usize = 32;

/// What a file of a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The result.
    Result,
    /// What the result is of.
    Receipt,
    /// There while a process computes the cell.
    Lease,
    /// How far the cell has come, by the checkpoint's name.
    Checkpoint(&'a str),
}

/// Whether a checkpoint may have this name: 1 to 32 lower-case letters, digits and `-`.
pub(crate) fn is_checkpoint_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether text is `n` lower-case hexadecimal digits.
fn is_hexadecimal(text: &str, n: usize) -> bool {
    text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The folder of a key's files.
pub(super) fn folder(dir: &Path, key: &str) -> PathBuf {
    dir.join(key.get(..2).unwrap_or("__"))
}

/// The path of a key's file.
pub(super) fn path(dir: &Path, key: &str, part: Part<'_>) -> PathBuf {
    let name = match part {
        Part::Result => format!("{key}.{RESULT}"),
        Part::Receipt => format!("{key}.{RECEIPT}"),
        Part::Lease => format!("{key}.{LEASE}"),
        Part::Checkpoint(name) => format!("{key}.{name}{CHECKPOINT}"),
    };
    folder(dir, key).join(name)
}

/// Key and part of a file of the store; none of any other file.
pub(super) fn parse(path: &Path) -> Option<(&str, Part<'_>)> {
    let (key, rest) = path.file_name()?.to_str()?.split_once('.')?;
    let folder = path.parent()?.file_name()?.to_str()?;
    let part = match rest {
        RESULT => Part::Result,
        RECEIPT => Part::Receipt,
        LEASE => Part::Lease,
        _ => {
            let name = rest.strip_suffix(CHECKPOINT)?;
            is_checkpoint_name(name).then_some(Part::Checkpoint(name))?
        }
    };
    (is_hexadecimal(key, 64) && &key[..2] == folder).then_some((key, part))
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

/// The files in a folder of entries.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_a_users_file_is_none() {
        let (dir, key) = (Path::new("/store"), format!("ab{}", "0".repeat(62)));
        for part in [Part::Result, Part::Receipt, Part::Lease, Part::Checkpoint("training-2")] {
            assert_eq!(parse(&path(dir, &key, part)), Some((key.as_str(), part)));
        }
        for name in [
            format!("{key}.checkpoint"),
            format!("{key}..checkpoint"),
            format!("{key}.My.checkpoint"),
            format!("{key}.a.b.checkpoint"),
            format!("{key}.{}.checkpoint", "a".repeat(33)),
            format!("{key}.training.checkpoint.bak"),
            "notes.training.checkpoint".to_owned(),
            "my.lease".to_owned(),
        ] {
            assert_eq!(parse(&dir.join("ab").join(&name)), None, "{name}");
        }
        assert_eq!(parse(&dir.join("cd").join(format!("{key}.csv"))), None, "another folder");
    }
}
