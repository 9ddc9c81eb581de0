//! The only writer: files appear complete or not at all, and nothing is replaced that is not ours.
//!
//! * A file is written under a temporary name beside its place and renamed. A link is followed; a device, a
//!   pipe, a file with several names or one that is mounted is written through; a folder is refused.
//! * A folder of outputs is assembled beside its place and exchanged with it, so a reader never sees half of
//!   a run; where that cannot be done it is replaced file by file under a marker ([`folder`]).

pub mod folder;
mod target;
mod temporary;

pub use temporary::remove_live;
pub(crate) use temporary::{track, untrack};

use crate::ArtifactError;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use target::Target;
use temporary::Temporary;

/// Name of the list of digests; where files are replaced one by one, it comes last.
pub const SUMS: &str = "SHA256SUMS";

const DISK_HINT: &str =
    "check permissions and free disk space, or choose another folder with --out";

/// Creates a folder and its parents.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be created.
pub fn create_dir(dir: &Path) -> Result<(), ArtifactError> {
    target::follow(dir).and_then(std::fs::create_dir_all).map_err(ArtifactError::file(
        dir,
        "create the folder",
        DISK_HINT,
    ))
}

/// Reads a file. A pipe or a device, which may never end, is refused.
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    let hint = "check the path and its permissions, or produce the file with `icl run`";
    let regular = path.metadata().and_then(|found| {
        let special = !found.is_file() && !found.is_dir();
        let refused =
            || io::Error::new(io::ErrorKind::InvalidInput, "it is a pipe or a device, not a file");
        if special { Err(refused()) } else { Ok(()) }
    });
    regular.and_then(|()| std::fs::read(path)).map_err(ArtifactError::file(path, "read", hint))
}

/// Whether a path from a list names something inside its folder: plain names, joined by `/`.
pub fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(plain) && !path.contains(|c: char| c == '\\' || c.is_control())
}

/// Writes a file so that it appears complete or not at all; what `path` is decides how (see the module).
///
/// # Errors
/// [`ArtifactError::File`] if it cannot be written, or is a folder; nothing is left behind then.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let written = Target::of(path).and_then(|target| match target {
        Target::New(path) => replace(&path, bytes, None),
        Target::Regular { path, found } => match replace(&path, bytes, Some(&found)) {
            // mounted, or in a folder that takes no new files
            Err(error) if cannot_rename(&error) => write_through(&path, bytes),
            written => written,
        },
        Target::Through(path) => write_through(&path, bytes),
        Target::Standard(stream) => stream.write(bytes),
    });
    written.map_err(ArtifactError::file(path, "write", DISK_HINT))
}

/// Whether [`write_atomically`] would find a place for `path`; nothing is changed.
///
/// # Errors
/// [`ArtifactError::File`] if it could not be written, or is a folder.
pub fn check_writable(path: &Path) -> Result<(), ArtifactError> {
    let possible = Target::of(path).and_then(|target| match target {
        Target::New(path) => Temporary::file(folder_of(&path)).map(|_| ()),
        // `Target::of` opened it for writing; a pipe or device shows it when it is written to
        Target::Regular { .. } | Target::Through(_) | Target::Standard(_) => Ok(()),
    });
    possible.map_err(ArtifactError::file(path, "write", DISK_HINT))
}

/// Whether a path is this program's own standard output, by whatever name.
pub fn is_standard_output(path: &Path) -> bool {
    matches!(Target::of(path), Ok(Target::Standard(target::Standard::Output)))
}

/// Whether files can be created in a folder, which must exist; nothing of it is changed.
///
/// # Errors
/// [`ArtifactError::File`] if they cannot.
pub fn check_folder_writable(dir: &Path) -> Result<(), ArtifactError> {
    Temporary::file(dir).map(|_| ()).map_err(ArtifactError::file(dir, "write in", DISK_HINT))
}

/// Removes from `dir` itself what interrupted writes of processes that no longer run left there.
pub fn remove_leftovers(dir: &Path) {
    temporary::remove_leftovers(dir);
}

/// Whether an entry of a folder of ours is passed over where files are listed: hidden ones, backups of
/// editors, what desktops leave, and temporary ones that are in work.
pub fn is_passed_over(path: &str) -> bool {
    let hidden = |name: &str| {
        name.starts_with('.') || name.ends_with('~') || ["Thumbs.db", "desktop.ini"].contains(&name)
    };
    path != folder::MARKER && path.split('/').any(hidden)
}

/// The folder of a file; the working directory for a bare name.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes beside `path`, flushes to disk and renames.
fn replace(path: &Path, bytes: &[u8], earlier: Option<&Metadata>) -> io::Result<()> {
    let (temporary, mut file) = Temporary::file(folder_of(path))?;
    file.write_all(bytes)?;
    if let Some(earlier) = earlier {
        keep_owner(&file, earlier)?;
        file.set_permissions(earlier.permissions())?;
    }
    file.sync_data()?;
    std::fs::rename(temporary.path(), path)?;
    temporary.renamed();
    Ok(())
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.uid(), a.gid()) == (b.uid(), b.gid())
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(unix)]
fn keep_owner(file: &File, earlier: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    if same_owner(&file.metadata()?, earlier) {
        return Ok(());
    }
    fchown(file, Some(earlier.uid()), Some(earlier.gid()))
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Writes into what stands at `path`.
fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let regular = path.metadata().is_ok_and(|found| found.is_file());
    let mut file: File = OpenOptions::new().write(true).truncate(regular).open(path)?;
    file.write_all(bytes)?;
    if regular { file.sync_data() } else { Ok(()) }
}

/// Faults of creating beside a file and renaming over it that say nothing about writing into it.
fn cannot_rename(error: &io::Error) -> bool {
    use io::ErrorKind::{
        CrossesDevices, InvalidInput, PermissionDenied, ReadOnlyFilesystem, ResourceBusy,
        Unsupported,
    };
    matches!(
        error.kind(),
        CrossesDevices
            | InvalidInput
            | PermissionDenied
            | ReadOnlyFilesystem
            | ResourceBusy
            | Unsupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomically(&dir.path().join("no/x"), b"1").unwrap_err();
        assert!(error.to_string().contains("no/x"), "{error}");
        let error = write_atomically(dir.path(), b"1").unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
        assert!(
            check_writable(dir.path()).is_err()
                && check_writable(&dir.path().join("no/x")).is_err()
        );
        assert_eq!(names(dir.path()), 0);
    }

    #[test]
    fn a_check_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w.safetensors");
        check_writable(&file).unwrap();
        check_folder_writable(dir.path()).unwrap();
        assert_eq!(names(dir.path()), 0);
        std::fs::write(&file, "precious").unwrap();
        check_writable(&file).unwrap();
        assert_eq!(read(&file).unwrap(), b"precious");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_written_through_and_permissions_stay() {
        use std::fs::Permissions;
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::write(&target, "old").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
        symlink("target", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(read(&target).unwrap(), b"new");
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let dangling = dir.path().join("dangling");
        symlink("made", &dangling).unwrap();
        write_atomically(&dangling, b"new").unwrap();
        assert_eq!(read(&dir.path().join("made")).unwrap(), b"new");
        symlink("around", dir.path().join("around")).unwrap();
        assert!(write_atomically(&dir.path().join("around"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_two_names_keeps_both() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, "old and longer").unwrap();
        std::fs::hard_link(&one, &two).unwrap();
        write_atomically(&one, b"new").unwrap();
        assert_eq!(read(&two).unwrap(), b"new");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_written_to_and_stays_a_pipe() {
        use std::os::unix::fs::FileTypeExt as _;
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        write_atomically(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(pipe.metadata().unwrap().file_type().is_fifo());
    }
}
