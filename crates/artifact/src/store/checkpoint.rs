//! Checkpoints: how far a cell has come, so that a run that was killed goes on from there.
//!
//! `<key>.<name>.checkpoint` holds one line, `icl-checkpoint/1` and a SHA-256 over key, name and what follows,
//! then the bytes that the computation saved. Written atomically, so that a killed process leaves either the
//! one before or the one after; removed when the cell's result is there. The key says by which source, class
//! and specification: bytes of another program are never asked for.

use super::Store;
use super::names::{self, Part};
use crate::digest::sha256_of;
use crate::finding::{Finding, Kind};
use crate::{ArtifactError, output};

const FORMAT: &str = "icl-checkpoint/1";

fn digest(key: &str, name: &str, bytes: &[u8]) -> String {
    sha256_of([key.as_bytes(), b"\n", name.as_bytes(), b"\n", bytes])
}

/// The text of a checkpoint file.
fn encode(key: &str, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("{FORMAT} {}\n", digest(key, name, bytes)).into_bytes();
    text.extend_from_slice(bytes);
    text
}

/// What was saved; else what stands there instead.
fn decode(key: &str, name: &str, text: &[u8]) -> Result<Vec<u8>, String> {
    let end = text.iter().position(|b| *b == b'\n').ok_or("no line")?;
    let head = std::str::from_utf8(&text[..end]).map_err(|error| error.to_string())?;
    let recorded = head.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' '));
    let recorded = recorded.ok_or_else(|| format!("`{}`", head.escape_debug()))?;
    let bytes = &text[end + 1..];
    let found = digest(key, name, bytes);
    if found == recorded { Ok(bytes.to_vec()) } else { Err(format!("bytes of SHA-256 {found}")) }
}

impl Store {
    /// What a cell saved last under a name, if anything; a damaged one is a finding.
    pub(crate) fn load_checkpoint(
        &self,
        key: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, Box<Finding>> {
        let path = self.path(key, Part::Checkpoint(name));
        let file = path.display().to_string();
        if !path.exists() {
            return Ok(None);
        }
        let text =
            output::read(&path).map_err(|error| Box::new(Finding::of_error(&file, &error)))?;
        decode(key, name, &text).map(Some).map_err(|found| {
            let expected = "a checkpoint of this cell as it was written";
            let hint = "runs ignore it and compute from the beginning";
            Box::new(Finding::new(Kind::Content, &file, found, expected).with_hint(hint))
        })
    }

    /// Replaces what a cell saved under a name.
    pub(crate) fn save_checkpoint(
        &self,
        key: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), ArtifactError> {
        let path = self.path(key, Part::Checkpoint(name));
        output::create_dir(&names::folder(&self.dir, key))?;
        output::write_atomically(&path, &encode(key, name, bytes))
    }

    /// Removes everything that a cell saved.
    pub(crate) fn remove_checkpoints(&self, key: &str) {
        for path in names::files(&names::folder(&self.dir, key)) {
            if matches!(names::parse(&path), Some((own, Part::Checkpoint(_))) if own == key) {
                // whoever removed it before did the same
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let text = encode("key", "training", b"state\nof a layer");
        assert_eq!(decode("key", "training", &text).unwrap(), b"state\nof a layer");
        for bit in 0..text.len() * 8 {
            let mut bad = text.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("key", "training", &bad).is_err(), "bit {bit}");
        }
        for length in 0..text.len() {
            assert!(decode("key", "training", &text[..length]).is_err(), "{length} bytes");
        }
        assert!(decode("other", "training", &text).is_err() && decode("key", "x", &text).is_err());
    }
}
