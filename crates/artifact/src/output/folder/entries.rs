//! What a folder holds.

use super::super::DISK_HINT;
use crate::ArtifactError;
use std::path::Path;

/// Deepest folder that is looked into.
const DEPTH: usize = 32;

/// An entry of a folder that is not a folder itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Relative path with `/`.
    pub path: String,
    /// Whether it is a regular file, not a link or a device.
    pub regular: bool,
}

/// All entries below `dir`, sorted by path, without following links.
///
/// # Errors
/// [`ArtifactError::File`] if a folder cannot be listed.
pub fn entries(dir: &Path) -> Result<Vec<Entry>, ArtifactError> {
    let mut found = Vec::new();
    walk(dir, "", 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(
    dir: &Path,
    prefix: &str,
    depth: usize,
    found: &mut Vec<Entry>,
) -> Result<(), ArtifactError> {
    let fault = || ArtifactError::file(dir, "list", DISK_HINT);
    for entry in std::fs::read_dir(dir).map_err(fault())? {
        let entry = entry.map_err(fault())?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(fault())?;
        if kind.is_dir() && depth < DEPTH {
            walk(&entry.path(), &format!("{path}/"), depth + 1, found)?;
        } else {
            found.push(Entry { path, regular: kind.is_file() });
        }
    }
    Ok(())
}
