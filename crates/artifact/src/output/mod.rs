//! The only writer: files appear complete or not at all.
//!
//! A file is written under a temporary name beside its place and renamed. A folder of outputs is
//! assembled beside its place and swapped in, so a reader never sees half of a run.

use crate::ArtifactError;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const DISK_HINT: &str =
    "check permissions and free disk space, or choose another folder with --out";

/// Creates a folder and its parents.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be created.
pub fn create_dir(dir: &Path) -> Result<(), ArtifactError> {
    std::fs::create_dir_all(dir).map_err(ArtifactError::file(dir, "create the folder", DISK_HINT))
}

/// Reads a file.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    let hint = "check the path and its permissions, or produce the file with `icl run`";
    std::fs::read(path).map_err(ArtifactError::file(path, "read", hint))
}

/// Writes a file under a temporary name, flushes it to disk and renames it.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be written; nothing is left behind then.
#[expect(clippy::disallowed_methods, reason = "this is the writer")]
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let temporary = beside(path)?;
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        ArtifactError::file(path, "write", DISK_HINT)(source)
    })
}

/// `.<name>.<process>-<n>.part` in the folder of `path`.
fn beside(path: &Path) -> Result<PathBuf, ArtifactError> {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(ArtifactError::Content {
            path: path.to_owned(),
            field: "file name".into(),
            found: "none".into(),
            expected: "a name in UTF-8".into(),
            hint: "choose another path",
        });
    };
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{name}.{}-{n}.part", std::process::id())))
}

/// Whether a name is one of [`write_atomically`]'s or [`replace_dir`]'s temporary ones, and of a
/// process that no longer runs (where that can be told).
fn is_leftover(name: &str) -> bool {
    let Some(stem) = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part")) else {
        return false;
    };
    let process = stem.rsplit('.').next().and_then(|tail| tail.split('-').next()).unwrap_or("");
    let alive = Path::new("/proc/self").exists() && Path::new("/proc").join(process).exists();
    !process.is_empty() && !alive
}

/// Removes what interrupted writes left in `dir` and in its folders.
///
/// # Errors
/// [`ArtifactError::File`] if the folder cannot be read.
pub fn remove_leftovers(dir: &Path) -> Result<(), ArtifactError> {
    let entries = std::fs::read_dir(dir).map_err(ArtifactError::file(dir, "list", DISK_HINT))?;
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let leftover = is_leftover(&name.to_string_lossy());
        if leftover && path.is_dir() {
            let _ = std::fs::remove_dir_all(&path);
        } else if leftover {
            let _ = std::fs::remove_file(&path);
        } else if path.is_dir() {
            remove_leftovers(&path)?;
        }
    }
    Ok(())
}

/// Replaces the folder `dir` by one that holds exactly `files` (relative paths with `/`).
///
/// # Errors
/// [`ArtifactError::File`] if something cannot be written; the old folder then stands as it was.
pub fn replace_dir<'a>(
    dir: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), ArtifactError> {
    let staging = beside(dir)?;
    let replaced = fill(&staging, files).and_then(|()| swap(dir, &staging));
    if replaced.is_err() {
        let _ = std::fs::remove_dir_all(&staging);
    }
    replaced
}

fn fill<'a>(
    staging: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(), ArtifactError> {
    create_dir(staging)?;
    for (path, bytes) in files {
        let path = staging.join(path);
        create_dir(path.parent().unwrap_or(staging))?;
        write_atomically(&path, bytes)?;
    }
    Ok(())
}

fn swap(dir: &Path, staging: &Path) -> Result<(), ArtifactError> {
    let rename = |from: &Path, to: &Path| {
        std::fs::rename(from, to).map_err(ArtifactError::file(to, "replace the folder", DISK_HINT))
    };
    if !dir.exists() {
        return rename(staging, dir);
    }
    let old = beside(dir)?;
    rename(dir, &old)?;
    if let Err(error) = rename(staging, dir) {
        let _ = std::fs::rename(&old, dir);
        return Err(error);
    }
    std::fs::remove_dir_all(&old).map_err(ArtifactError::file(&old, "remove", DISK_HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        replace_dir(&out, [("a/x.csv", b"1".as_slice()), ("b", b"2")]).unwrap();
        replace_dir(&out, [("c", b"3".as_slice())]).unwrap();
        assert!(!out.join("a").exists());
        assert_eq!(read(&out.join("c")).unwrap(), b"3");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("taken");
        std::fs::write(&blocked, "a file, not a folder").unwrap();
        let error = replace_dir(&blocked.join("out"), [("x", b"1".as_slice())]).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
