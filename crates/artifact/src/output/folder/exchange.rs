//! A folder assembled beside its place, and exchanged with the one that stands there.

use super::super::{
    DISK_HINT, Temporary, cannot_rename, create_dir, folder_of, same_owner, write_atomically,
};
use super::{Files, entries};
use crate::ArtifactError;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Gives the new folders the permissions of those that they replace; false if they have other owners.
fn keep_folders(staging: &Path, dir: &Path, files: &Files<'_>) -> bool {
    let below = files.keys().flat_map(|path| Path::new(*path).ancestors().skip(1));
    let folders: BTreeSet<&Path> = below.collect();
    folders.into_iter().all(|folder| {
        let (new, old) = (staging.join(folder), dir.join(folder));
        match (new.metadata(), old.metadata()) {
            (Ok(new_found), Ok(old_found)) => {
                same_owner(&new_found, &old_found)
                    && std::fs::set_permissions(&new, old_found.permissions()).is_ok()
            }
            _ => true,
        }
    })
}

/// Assembles the folder beside its place.
pub(super) fn stage(dir: &Path, files: &Files<'_>) -> Result<Temporary, ArtifactError> {
    let parent = folder_of(dir);
    let staging =
        Temporary::folder(parent).map_err(ArtifactError::file(parent, "write in", DISK_HINT))?;
    for (path, bytes) in files {
        let path = staging.path().join(path);
        create_dir(folder_of(&path))?;
        write_atomically(&path, bytes)?;
    }
    Ok(staging)
}

/// Exchanges the folder with one assembled beside it; false where the file system cannot.
pub(super) fn exchange(
    dir: &Path,
    files: &Files<'_>,
    ours: &BTreeSet<String>,
) -> Result<bool, ArtifactError> {
    let staging = match stage(dir, files) {
        Ok(staging) => staging,
        Err(ArtifactError::File { cause, .. }) if cannot_rename(&cause) => return Ok(false),
        Err(error) => return Err(error),
    };
    if !keep_folders(staging.path(), dir, files) {
        return Ok(false);
    }
    match swap(staging.path(), dir) {
        Ok(()) => {}
        Err(error) if cannot_rename(&error) => return Ok(false),
        Err(error) => return Err(ArtifactError::file(dir, "replace the folder", DISK_HINT)(error)),
    }
    // the old folder now stands at the temporary path; what came into it meanwhile goes back
    for entry in entries(staging.path())?.iter().filter(|entry| !ours.contains(&entry.path)) {
        let (from, to) = (staging.path().join(&entry.path), dir.join(&entry.path));
        create_dir(folder_of(&to))?;
        std::fs::rename(&from, &to).map_err(ArtifactError::file(&from, "move back", DISK_HINT))?;
    }
    Ok(true)
}

#[cfg(target_os = "linux")]
fn swap(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn swap(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
