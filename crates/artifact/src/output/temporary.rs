//! Temporary files and folders: unguessable, created exclusively, and known as ours when their process died.
//!
//! `.icl-<host>-<process>-<start>-<random>.part`: 16 hexadecimal digits of the running kernel and process
//! namespace, the process and its start in clock ticks (decimal), and 32 random hexadecimal digits. Only a
//! name of exactly this form is ever removed, and only from a folder that the caller owns.

use crate::digest::sha256;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

const PREFIX: &str = ".icl-";
const SUFFIX: &str = ".part";
/// From this age on, what a process of another host or container left is taken for dead.
const FOREIGN_AGE: Duration = Duration::from_hours(24);

/// Temporary files and folders of this process that are still there.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn live() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a file of this process removed before it ends by a signal.
pub(crate) fn track(path: &Path) {
    live().insert(path.to_owned());
}

/// Forgets a file that is gone.
pub(crate) fn untrack(path: &Path) {
    live().remove(path);
}

/// A temporary file or folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Creates an empty file in `folder`.
    pub(super) fn file(folder: &Path) -> io::Result<(Self, File)> {
        let created = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path);
        Self::create(folder, created)
    }

    /// Creates an empty folder in `folder`.
    pub(super) fn folder(folder: &Path) -> io::Result<Self> {
        Ok(Self::create(folder, |path| std::fs::create_dir(path))?.0)
    }

    fn create<T>(folder: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        let path = folder.join(fresh_name());
        let mut live = live();
        let made = make(&path)?;
        live.insert(path.clone());
        Ok((Self { path }, made))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets the path: it was renamed away.
    pub(super) fn renamed(self) {
        untrack(&self.path);
        std::mem::forget(self);
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.path);
        untrack(&self.path);
    }
}

/// Removes a file or a folder, never what a link points to.
fn remove(path: &Path) {
    let _ = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(found) if found.is_file() => std::fs::remove_file(path),
        _ => Ok(()),
    };
}

/// Removes the temporary files and folders of this process, before it ends by a signal. Afterwards no
/// other can be created: threads that write wait for the end.
pub fn remove_live() {
    let guard = live();
    guard.iter().for_each(|path| remove(path));
    std::mem::forget(guard);
}

/// Removes from `dir` itself, not from folders in it, what processes that no longer run left there.
pub(super) fn remove_leftovers(dir: &Path) {
    let own_folder = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    let entries = own_folder.then(|| std::fs::read_dir(dir).ok()).flatten();
    for entry in entries.into_iter().flatten().flatten() {
        let owner = entry.file_name().to_str().and_then(Owner::parse);
        let metadata = entry.path().symlink_metadata().ok();
        if let Some((owner, metadata)) = owner.zip(metadata)
            && owner.is_dead(metadata.modified().ok())
        {
            remove(&entry.path());
        }
    }
}

/// Whether a name has the form of a temporary one.
#[cfg(test)]
fn is_temporary(name: &str) -> bool {
    Owner::parse(name).is_some()
}

/// The process that made a temporary name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    host: String,
    process: u64,
    start: u64,
}

impl Owner {
    /// This process.
    fn own() -> &'static Self {
        static OWN: OnceLock<Owner> = OnceLock::new();
        OWN.get_or_init(|| {
            // the number that this /proc shows, which differs from `std::process::id` where a process
            // namespace has no /proc of its own
            let shown = std::fs::read_link("/proc/self").ok();
            let shown = shown.and_then(|link| link.to_str()?.parse().ok());
            let process = shown.unwrap_or_else(|| u64::from(std::process::id()));
            Owner { host: host(), process, start: start_of("self").unwrap_or(0) }
        })
    }

    /// The owner in a name, if the name has the whole form.
    fn parse(name: &str) -> Option<Self> {
        let parts = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let parts: Vec<&str> = parts.split('-').collect();
        let [host, process, start, random] = parts.as_slice() else {
            return None;
        };
        let hexadecimal = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let decimal = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let whole = hexadecimal(host, 16) && hexadecimal(random, 32);
        let (process, start) = (decimal(process)?, decimal(start)?);
        whole.then(|| Self { host: (*host).to_owned(), process, start })
    }

    /// Whether the process no longer runs. Of another host or namespace, or without `/proc`, only age tells.
    fn is_dead(&self, modified: Option<SystemTime>) -> bool {
        let own = Self::own();
        if self.host == own.host && own.start > 0 {
            return start_of(&self.process.to_string()) != Some(self.start);
        }
        #[expect(clippy::disallowed_methods, reason = "the age of a file, not part of any result")]
        let now = SystemTime::now();
        modified.and_then(|then| now.duration_since(then).ok()).is_some_and(|age| age > FOREIGN_AGE)
    }
}

/// Digest of what tells processes apart: the running kernel, the host's name, the process namespace and
/// the `/proc` that shows it.
fn host() -> String {
    let mut identity = String::new();
    for path in ["/proc/sys/kernel/random/boot_id", "/proc/sys/kernel/hostname"] {
        identity += &std::fs::read_to_string(path).unwrap_or_default();
    }
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok();
    let _ = write!(identity, "{namespace:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let shown_by = std::fs::metadata("/proc").map(|proc| proc.dev()).ok();
        let _ = write!(identity, "{shown_by:?}");
    }
    sha256(identity.as_bytes())[..16].to_owned()
}

/// Start of a process in clock ticks after boot, the 22nd field of its `stat`.
fn start_of(process: &str) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // the second field is the program's name in brackets and may hold anything
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

fn fresh_name() -> String {
    let Owner { host, process, start } = Owner::own();
    // hashes under keys that the system draws anew
    let random = || RandomState::new().hash_one((process, SALT));
    format!("{PREFIX}{host}-{process}-{start}-{:016x}{:016x}{SUFFIX}", random(), random())
}

const SALT: &str = "temporary name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_form_is_a_temporary_name() {
        let name = fresh_name();
        assert!(is_temporary(&name), "{name}");
        assert_ne!(name, fresh_name());
        for other in [
            ".movie.part",
            ".icl-x-1-2-3.part",
            ".backup.tar.part",
            ".icl-.part",
            &name[1..],
            &name.replace(".part", ".parts"),
            &name.replace(".icl-", ".icl-0"),
            &format!("{}-0.part", &name[..name.len() - 5]),
            &name.to_uppercase(),
        ] {
            assert!(!is_temporary(other), "{other}");
        }
    }

    #[test]
    fn what_a_dead_process_left_goes_and_what_others_have_in_work_stays() {
        let dir = tempfile::tempdir().unwrap();
        let Owner { host, process, start } = Owner::own();
        let random = "0123456789abcdef0123456789abcdef";
        let name = |host: &str, process: u64, start: u64| {
            format!("{PREFIX}{host}-{process}-{start}-{random}{SUFFIX}")
        };
        let alive = dir.path().join(name(host, *process, *start));
        let reused = dir.path().join(name(host, *process, start + 1));
        let dead = dir.path().join(name(host, 4_000_000_000, 1));
        let elsewhere = dir.path().join(name("0123456789abcdef", 4_000_000_000, 1));
        let stale = dir.path().join(name("fedcba9876543210", 4_000_000_000, 1));
        for path in [&alive, &reused, &elsewhere, &stale] {
            std::fs::write(path, "x").unwrap();
        }
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("inside"), "x").unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&stale).unwrap().set_modified(old).unwrap();
        remove_leftovers(dir.path());
        assert!(alive.exists() && elsewhere.exists(), "still in work");
        assert!(!reused.exists() && !dead.exists() && !stale.exists());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_neither_followed_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let far = dir.path().join("far");
        std::fs::create_dir(&far).unwrap();
        let Owner { host, .. } = Owner::own();
        let name = format!("{PREFIX}{host}-4000000000-1-{}{SUFFIX}", "0".repeat(32));
        std::fs::write(far.join(&name), "x").unwrap();
        let own = dir.path().join("own");
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::symlink(&far, own.join(&name)).unwrap();
        std::os::unix::fs::symlink(&far, own.join("link")).unwrap();
        remove_leftovers(&own);
        remove_leftovers(&own.join("link"));
        assert!(far.join(&name).exists() && own.join(&name).symlink_metadata().is_ok());
    }
}
