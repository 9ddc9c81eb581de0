//! What a path that is to be written names.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Longest chain of links.
const LINKS: usize = 40;

/// What stands at a path.
pub(super) enum Target {
    /// Nothing yet; links lead here.
    New(PathBuf),
    /// A file of one name, which may be replaced by renaming; links lead here.
    Regular { path: PathBuf, found: Metadata },
    /// A device, a pipe, or a file of several names: it must stay the same file.
    Through(PathBuf),
    /// This program's own standard output or error, by whatever name.
    Standard(Standard),
}

/// A standard stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standard {
    Output,
    Error,
}

impl Standard {
    pub(super) fn write(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            }
            Self::Error => io::stderr().lock().write_all(bytes),
        }
    }
}

impl Target {
    /// What stands at `path`; a folder and a file that may not be written are errors.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it names no file"));
        }
        let place = follow(path)?;
        if let Some(stream) = standard(&place) {
            return Ok(Self::Standard(stream));
        }
        let found = match place.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::New(place)),
            Err(error) => return Err(error),
        };
        if found.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
        }
        if !found.is_file() || in_proc(&place) {
            return Ok(Self::Through(place));
        }
        // a file that may not be written is not replaced either
        OpenOptions::new().write(true).open(&place)?;
        if several_names(&found) {
            return Ok(Self::Through(place));
        }
        Ok(Self::Regular { path: place, found })
    }
}

/// Follows links to what they name, which need not exist. Links of `/proc` are left: what they show as
/// their text (`pipe:[17]`) is not a path.
pub(super) fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        if in_proc(&place) || !place.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
            return Ok(place);
        }
        let link = std::fs::read_link(&place)?;
        place = super::folder_of(&place).join(link);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "its links lead around in a circle"))
}

fn in_proc(path: &Path) -> bool {
    // `/dev/fd` is a link to `/proc/self/fd`
    path.starts_with("/proc") || path.starts_with("/dev/fd")
}

fn standard(path: &Path) -> Option<Standard> {
    let own = format!("/proc/{}/fd", std::process::id());
    let folder = path.parent().filter(|folder| {
        [Path::new("/proc/self/fd"), Path::new("/dev/fd"), Path::new(&own)].contains(folder)
    });
    folder.and(path.file_name()).and_then(|name| match name.to_str() {
        Some("1") => Some(Standard::Output),
        Some("2") => Some(Standard::Error),
        _ => None,
    })
}

#[cfg(unix)]
fn several_names(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) > 1
}

#[cfg(not(unix))]
fn several_names(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn standard_output_is_known_by_all_its_names() {
        for name in ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"] {
            let Ok(Target::Standard(stream)) = Target::of(Path::new(name)) else {
                panic!("{name}")
            };
            assert_eq!(stream, Standard::Output);
        }
        assert!(matches!(Target::of(Path::new("/dev/null")), Ok(Target::Through(_))));
    }
}
