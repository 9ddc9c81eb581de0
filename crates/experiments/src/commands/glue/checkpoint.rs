//! The state of a fine-tuning run in a file of the user's.

use crate::clock;
use crate::console::note;
use crate::pace::Pace;
use anyhow::bail;
use artifact::{digest, output};
use icl_model::trainer::Checkpoint;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// First word of the file; the digest of what the run depends on follows.
const MAGIC: &str = "icl-glue-checkpoint/1";
const LINE_EVERY: Duration = Duration::from_secs(30);

/// A checkpoint of one run; without a file, its progress alone.
pub(super) struct FileCheckpoint {
    path: Option<PathBuf>,
    header: String,
    state: Option<Vec<u8>>,
    pace: RefCell<Pace>,
    last_line: RefCell<Instant>,
}

impl FileCheckpoint {
    /// Of the run that follows from `inputs`; reads the state that the file holds.
    pub(super) fn open(path: Option<&Path>, inputs: &str) -> anyhow::Result<Self> {
        let header = format!("{MAGIC} {}\n", digest::sha256(inputs.as_bytes()));
        let state = match path {
            Some(path) if path.exists() => Some(state(path, &header)?),
            Some(path) => {
                output::check_writable(path)?;
                None
            }
            None => None,
        };
        let now = clock::now();
        Ok(Self {
            path: path.map(Path::to_owned),
            header,
            state,
            pace: RefCell::new(Pace::new(now)),
            last_line: RefCell::new(now),
        })
    }
}

/// The state of a file with this header.
fn state(path: &Path, header: &str) -> anyhow::Result<Vec<u8>> {
    let bytes = output::read(path)?;
    if let Some(state) = bytes.strip_prefix(header.as_bytes()) {
        return Ok(state.to_vec());
    }
    let ours = bytes.starts_with(MAGIC.as_bytes());
    let found = if ours { "a run with other settings, data or model" } else { "another file" };
    bail!(
        "{}: found {found}, expected the state of this run; name another file by --checkpoint",
        path.display()
    );
}

impl Checkpoint for FileCheckpoint {
    fn load(&self) -> Option<Vec<u8>> {
        self.state.clone()
    }

    fn due(&self) -> bool {
        self.path.is_some() && self.pace.borrow_mut().due(clock::now())
    }

    fn save(&self, state: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if let Some(path) = &self.path {
            output::write_atomically(path, &[self.header.as_bytes(), state].concat())?;
            self.pace.borrow_mut().saved(clock::now());
        }
        Ok(())
    }

    fn progress(&self, step: usize, steps: usize) {
        let now = clock::now();
        if now.duration_since(*self.last_line.borrow()) >= LINE_EVERY {
            *self.last_line.borrow_mut() = now;
            note!("step {step} of {steps}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_its_run_and_other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.state");
        let first = FileCheckpoint::open(Some(&path), "settings a").unwrap();
        assert_eq!(first.load(), None);
        first.save(b"half way").unwrap();
        let again = FileCheckpoint::open(Some(&path), "settings a").unwrap();
        assert_eq!(again.load().as_deref(), Some(&b"half way"[..]));
        let other = FileCheckpoint::open(Some(&path), "settings b").err().unwrap().to_string();
        assert!(other.contains("other settings") && other.contains("--checkpoint"), "{other}");
        output::write_atomically(&path, b"a letter").unwrap();
        let letter = FileCheckpoint::open(Some(&path), "settings a").err().unwrap().to_string();
        assert!(letter.contains("another file"), "{letter}");
        assert_eq!(output::read(&path).unwrap(), b"a letter");
    }
}
