//! Replacing a folder of outputs: as a whole where that is possible, else file by file under a marker.
//!
//! A path is *ours* if an earlier run lists it. Foreign entries stay where they are; a foreign file at a path
//! that is to be written is refused. The folder is exchanged in one step if it is a plain folder that holds
//! only our files; if it is mounted, in a lower layer of an overlay or holds foreign entries, [`MARKER`] names
//! what is written and removed, then files are replaced one by one, `SHA256SUMS` at the end, and the
//! marker goes. A marker that stays is a replacement that was cut short: the next one completes it.

mod entries;
mod exchange;

pub use entries::{Entry, entries};

use super::{DISK_HINT, SUMS, create_dir, target, write_atomically};
use crate::ArtifactError;
use exchange::{exchange, stage};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the marker.
pub const MARKER: &str = ".icl-replacing.json";
/// Written last: a folder without them is not complete.
const LAST: &str = SUMS;

/// Files by relative path with `/`.
pub type Files<'a> = BTreeMap<&'a str, &'a [u8]>;

/// What a marker says.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    written: BTreeSet<String>,
    removed: BTreeSet<String>,
}

/// Replaces the folder `dir` by one that holds `files`. `ours` are the paths that an earlier run lists: those
/// not in `files` are removed, and no other entry is touched.
///
/// # Errors
/// [`ArtifactError::Content`] if a foreign entry is in the way, [`ArtifactError::File`] if something cannot
/// be written; the old folder then stands as it was, or with a marker.
pub fn replace_dir(
    dir: &Path,
    files: &Files<'_>,
    ours: &BTreeSet<String>,
) -> Result<(), ArtifactError> {
    let place = target::follow(dir).map_err(ArtifactError::file(dir, "follow", DISK_HINT))?;
    if !place.exists() {
        create_dir(super::folder_of(&place))?;
        let staging = stage(&place, files)?;
        let renamed = std::fs::rename(staging.path(), &place);
        renamed.map_err(ArtifactError::file(&place, "create the folder", DISK_HINT))?;
        staging.renamed();
        return Ok(());
    }
    let earlier = unfinished(&place);
    let inside = ours.iter().filter(|path| super::is_inside(path));
    let mut ours: BTreeSet<String> = inside.cloned().collect();
    if let Some(marker) = &earlier {
        ours.extend(marker.written.iter().chain(&marker.removed).cloned());
        ours.insert(MARKER.to_owned());
    }
    refuse_obstacles(&place, files, &ours)?;
    let foreign = |entry: &Entry| !(entry.regular && ours.contains(&entry.path));
    let plain = dir.symlink_metadata().is_ok_and(|found| found.is_dir());
    if plain && !entries(&place)?.iter().any(foreign) && exchange(&place, files, &ours)? {
        return Ok(());
    }
    file_by_file(&place, files, &ours)
}

/// What a replacement that was cut short had to do; a marker that cannot be read counts as an empty one.
fn unfinished(dir: &Path) -> Option<Marker> {
    let bytes = super::read(&dir.join(MARKER)).ok()?;
    let mut marker: Marker = serde_json::from_slice(&bytes).unwrap_or_default();
    // somebody else may have written it: nothing outside the folder is ever ours
    marker.written.retain(|path| super::is_inside(path));
    marker.removed.retain(|path| super::is_inside(path));
    Some(marker)
}

/// Refuses what no earlier run lists at the place of a file or of its folders, unless it holds the same bytes.
fn refuse_obstacles(
    dir: &Path,
    files: &Files<'_>,
    ours: &BTreeSet<String>,
) -> Result<(), ArtifactError> {
    for (path, bytes) in files {
        for (end, _) in path.match_indices('/') {
            // a link to a folder leads on; a file where a folder must be does not
            let folder = dir.join(&path[..end]);
            if folder.symlink_metadata().is_ok() && !folder.is_dir() && !ours.contains(&path[..end])
            {
                return Err(obstacle(folder));
            }
        }
        let place = dir.join(path);
        let same = || super::read(&place).is_ok_and(|found| found == *bytes);
        if place.is_dir() || (place.symlink_metadata().is_ok() && !ours.contains(*path) && !same())
        {
            return Err(obstacle(place));
        }
    }
    Ok(())
}

fn obstacle(path: PathBuf) -> ArtifactError {
    ArtifactError::Content {
        path,
        field: "owner".into(),
        found: "an entry that no earlier run lists".into(),
        expected: "nothing, or an output of an earlier run".into(),
        hint: "move it away, or choose another folder with --out",
    }
}

/// Replaces one file after the other under a marker.
fn file_by_file(
    dir: &Path,
    files: &Files<'_>,
    ours: &BTreeSet<String>,
) -> Result<(), ArtifactError> {
    let written = files.keys().map(|path| (*path).to_owned()).collect();
    let removed = ours.iter().filter(|path| !files.contains_key(path.as_str()));
    let removed = removed.filter(|path| path.as_str() != MARKER).cloned().collect();
    let marker = Marker { written, removed };
    let folders: BTreeSet<&Path> =
        files.keys().filter_map(|path| Path::new(*path).parent()).collect();
    folders.iter().for_each(|folder| super::remove_leftovers(&dir.join(folder)));
    write_atomically(&dir.join(MARKER), &crate::json::canonical_json(&marker)?)?;
    let last = |path: &str| path == LAST;
    for (path, bytes) in files.iter().filter(|(path, _)| !last(path)) {
        write_changed(&dir.join(path), bytes)?;
    }
    for path in &marker.removed {
        remove_file(dir, path)?;
    }
    for (path, bytes) in files.iter().filter(|(path, _)| last(path)) {
        write_changed(&dir.join(path), bytes)?;
    }
    remove_file(dir, MARKER)
}

fn write_changed(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    if super::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    create_dir(super::folder_of(path))?;
    write_atomically(path, bytes)
}

/// Removes a file below `dir` if it is there, and its folders up to `dir` if they are empty then.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be removed.
pub fn remove_file(dir: &Path, path: &str) -> Result<(), ArtifactError> {
    let full = dir.join(path);
    match std::fs::remove_file(&full) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ArtifactError::file(&full, "remove", DISK_HINT)(error)),
    }
    let mut folder = full.parent();
    while let Some(empty) = folder.filter(|folder| *folder != dir) {
        // a folder that holds something stays, and so do those above it
        if std::fs::remove_dir(empty).is_err() {
            break;
        }
        folder = empty.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&'static str, &'static str)]) -> Files<'static> {
        list.iter().map(|(path, text)| (*path, text.as_bytes())).collect()
    }

    fn ours(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|path| (*path).to_owned()).collect()
    }

    fn paths(dir: &Path) -> Vec<String> {
        entries(dir).unwrap().into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn a_folder_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        replace_dir(&out, &files(&[("a/x.csv", "1"), ("b", "2")]), &ours(&[])).unwrap();
        replace_dir(&out, &files(&[("c", "3")]), &ours(&["a/x.csv", "b"])).unwrap();
        assert_eq!(paths(&out), ["c"]);
        assert!(!out.join("a").exists());
        assert_eq!(paths(dir.path()), ["out/c"]);
    }

    #[test]
    fn foreign_entries_stay_and_are_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        replace_dir(&out, &files(&[("a/x", "1"), ("b", "2")]), &ours(&[])).unwrap();
        std::fs::write(out.join("a/notes"), "mine").unwrap();
        replace_dir(&out, &files(&[("a/y", "3")]), &ours(&["a/x", "b"])).unwrap();
        assert_eq!(paths(&out), ["a/notes", "a/y"]);
        let error = replace_dir(&out, &files(&[("a/notes", "ours")]), &ours(&["a/y"])).unwrap_err();
        assert!(error.to_string().contains("a/notes"), "{error}");
        let error = replace_dir(&out, &files(&[("a/notes/x", "1")]), &ours(&[])).unwrap_err();
        assert!(error.to_string().contains("a/notes"), "{error}");
        let error = replace_dir(&out, &files(&[("a", "1")]), &ours(&[])).unwrap_err();
        assert!(error.to_string().contains("out/a:"), "{error}");
        assert_eq!(std::fs::read(out.join("a/notes")).unwrap(), b"mine");
        // the same bytes are no conflict
        replace_dir(&out, &files(&[("a/notes", "mine")]), &ours(&["a/y"])).unwrap();
        assert_eq!(paths(&out), ["a/notes"]);
    }

    #[test]
    fn a_replacement_that_was_cut_short_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let marker = Marker { written: ours(&["new"]), removed: ours(&["old"]) };
        replace_dir(&out, &files(&[("new", "half"), ("old", "1")]), &ours(&[])).unwrap();
        let text = crate::json::canonical_json(&marker).unwrap();
        write_atomically(&out.join(MARKER), &text).unwrap();
        replace_dir(&out, &files(&[("new", "whole")]), &ours(&[])).unwrap();
        assert_eq!(paths(&out), ["new"]);
        assert_eq!(std::fs::read(out.join("new")).unwrap(), b"whole");
    }

    #[cfg(unix)]
    #[test]
    fn permissions_of_folders_stay() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        replace_dir(&out, &files(&[("a/x", "1")]), &ours(&[])).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        for (path, bits) in [(out.clone(), 0o2750), (out.join("a"), 0o700)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
        }
        replace_dir(&out, &files(&[("a/y", "2")]), &ours(&["a/x"])).unwrap();
        assert_eq!((mode(&out), mode(&out.join("a"))), (0o2750, 0o700));
    }

    #[test]
    fn nothing_outside_the_folder_is_ever_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (out, outside) = (dir.path().join("out"), dir.path().join("outside"));
        replace_dir(&out, &files(&[("x", "1")]), &ours(&[])).unwrap();
        std::fs::write(&outside, "precious").unwrap();
        let absolute = outside.display().to_string();
        let marker = Marker { written: ours(&[]), removed: ours(&["../outside", &absolute, "x"]) };
        let text = crate::json::canonical_json(&marker).unwrap();
        write_atomically(&out.join(MARKER), &text).unwrap();
        let listed = ours(&["../outside", "x/../../outside", &absolute]);
        replace_dir(&out, &files(&[("y", "2")]), &listed).unwrap();
        assert_eq!(std::fs::read(&outside).unwrap(), b"precious");
        assert_eq!(paths(&out), ["y"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays_a_link() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("scratch")).unwrap();
        let out = dir.path().join("out");
        symlink("scratch", &out).unwrap();
        replace_dir(&out, &files(&[("a/x", "1")]), &ours(&[])).unwrap();
        replace_dir(&out, &files(&[("a/y", "2")]), &ours(&["a/x"])).unwrap();
        assert!(out.is_symlink());
        assert_eq!(paths(&dir.path().join("scratch")), ["a/y"]);
        // also where nothing stands yet, and for a circle inside
        let later = dir.path().join("later");
        symlink("made", &later).unwrap();
        replace_dir(&later, &files(&[("x", "1")]), &ours(&[])).unwrap();
        assert!(later.is_symlink() && dir.path().join("made/x").exists());
        symlink(".", out.join("circle")).unwrap();
        replace_dir(&out, &files(&[("b", "3")]), &ours(&["a/y"])).unwrap();
        assert_eq!(paths(&dir.path().join("scratch")), ["b", "circle"]);
    }
}
