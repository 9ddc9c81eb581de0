//! Locks between processes, also of several hosts and containers: the kernel or the file server gives them
//! back when their owner dies.

use crate::output;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// What became of an attempt to take a lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours until it is dropped.
    Taken(Lock),
    /// Another process has it.
    Busy,
    /// The file system has no locks, or the place cannot be written; one goes on without.
    Unsupported,
}

/// A lock that is held.
#[derive(Debug)]
pub struct Lock {
    file: File,
    /// Removed with the lock.
    remove: Option<PathBuf>,
}

impl Lock {
    /// Waits for the lock file at `path`, which is created and stays; `None` where there are no locks.
    pub fn wait(path: &Path) -> Option<Self> {
        let file = open(path)?;
        file.lock().ok()?;
        Some(Self { file, remove: None })
    }

    /// Waits until no other process holds the lock file at `path` alone; `None` if there is no such file.
    pub fn wait_shared(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        file.lock_shared().ok()?;
        Some(Self { file, remove: None })
    }

    /// Whether a process holds the lock file at `path`; nothing is changed.
    pub fn is_held(path: &Path) -> bool {
        let file = File::open(path).ok();
        file.is_some_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Tries to take the lock file at `path`, which is removed when the lock is dropped.
    pub fn attempt(path: &Path) -> Attempt {
        // an owner that ends removes the file: a lock on a file that is gone is none
        for _ in 0..100 {
            let Some(file) = open(path) else {
                return Attempt::Unsupported;
            };
            match file.try_lock() {
                Ok(()) if stands_at(&file, path) => {
                    output::track(path);
                    return Attempt::Taken(Self { file, remove: Some(path.to_owned()) });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Attempt::Busy,
                Err(TryLockError::Error(_)) => {
                    // without locks nobody can tell whose file it is: it was empty before and stays so
                    return Attempt::Unsupported;
                }
            }
        }
        Attempt::Busy
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(path) = &self.remove {
            let _ = std::fs::remove_file(path);
            output::untrack(path);
        }
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> Option<File> {
    // never through a link to a file of somebody else
    if path.is_symlink() {
        return None;
    }
    OpenOptions::new().write(true).create(true).truncate(false).open(path).ok()
}

#[cfg(unix)]
fn stands_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let own = file.metadata().map(|found| (found.dev(), found.ino())).ok();
    own.is_some() && own == path.metadata().map(|found| (found.dev(), found.ino())).ok()
}

#[cfg(not(unix))]
fn stands_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_others_and_its_file_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.lease");
        let Attempt::Taken(lock) = Lock::attempt(&path) else { panic!("free") };
        assert!(matches!(Lock::attempt(&path), Attempt::Busy) && Lock::is_held(&path));
        drop(lock);
        assert!(!Lock::is_held(&path));
        assert!(!path.exists());
        // what a dead owner left is taken over
        std::fs::write(&path, "").unwrap();
        assert!(!Lock::is_held(&path) && path.exists());
        assert!(matches!(Lock::attempt(&path), Attempt::Taken(_)));
        assert!(!path.exists());
        assert!(matches!(Lock::attempt(&dir.path().join("no/key.lease")), Attempt::Unsupported));
    }

    #[test]
    fn a_shared_lock_waits_for_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("publish.lock");
        assert!(Lock::wait_shared(&path).is_none() && !path.exists());
        let lock = Lock::wait(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::wait_shared(&path).is_some()
        });
        drop(lock);
        assert!(waiting.join().unwrap() && path.exists());
    }
}
