//! A manifest, its files and their lists as one folder.

use super::{MANIFEST, Manifest, RUN_FILES, RUN_SUMS, SUMS, parse_sums, sums};
use crate::digest::sha256;
use crate::{ArtifactError, output};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Publishes `files` with their manifest as the folder `dir`; `run_files` (by the names of [`RUN_FILES`]) go
/// beside them. What an earlier run lists there is replaced, nothing else is touched.
///
/// Returns the root hash.
///
/// # Errors
/// [`ArtifactError`] if something cannot be written or foreign files are in the way.
pub fn publish(
    dir: &Path,
    manifest: &Manifest,
    files: &BTreeMap<String, Vec<u8>>,
    run_files: &BTreeMap<String, Vec<u8>>,
) -> Result<String, ArtifactError> {
    let manifest = manifest.to_json()?;
    let borrowed = |(path, bytes): (&'_ String, &'_ Vec<u8>)| (path.clone(), bytes.clone());
    let mut all: BTreeMap<String, Vec<u8>> = files.iter().map(borrowed).collect();
    all.insert(MANIFEST.to_owned(), manifest);
    let sums = sums(all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    let run_sums =
        super::sums(run_files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
    all.extend(run_files.iter().map(borrowed));
    all.insert(SUMS.to_owned(), sums.clone().into_bytes());
    all.insert(RUN_SUMS.to_owned(), run_sums.into_bytes());
    let all = all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    output::folder::replace_dir(dir, &all, &listed(dir))?;
    Ok(sha256(sums.as_bytes()))
}

/// Whether `dir` holds exactly this manifest and these files, undamaged, with intact records of their run.
///
/// # Errors
/// As [`Manifest::to_json`].
pub fn is_published(
    dir: &Path,
    manifest: &Manifest,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<bool, ArtifactError> {
    let holds =
        |path: &str, bytes: &[u8]| output::read(&dir.join(path)).is_ok_and(|found| found == bytes);
    let run_sums = output::read(&dir.join(RUN_SUMS)).unwrap_or_default();
    let (run_sums, faults) = parse_sums(&String::from_utf8_lossy(&run_sums));
    let run_file = |name: &str| {
        let found = output::read(&dir.join(name)).map(|bytes| sha256(&bytes)).ok();
        found.is_some() && found.as_ref() == run_sums.get(name)
    };
    Ok(holds(MANIFEST, &manifest.to_json()?)
        && holds(SUMS, manifest.sums()?.as_bytes())
        && files.iter().all(|(path, bytes)| holds(path, bytes))
        && faults.is_empty()
        && RUN_FILES.into_iter().all(run_file)
        && !dir.join(output::folder::MARKER).exists())
}

/// The paths in `dir` that an earlier run made: what its lists name, as far as they can be read.
pub fn listed(dir: &Path) -> BTreeSet<String> {
    let names = [MANIFEST, SUMS, RUN_SUMS].into_iter().chain(RUN_FILES).map(str::to_owned);
    let mut listed: BTreeSet<String> = names.collect();
    let text = output::read(&dir.join(SUMS)).unwrap_or_default();
    listed.extend(parse_sums(&String::from_utf8_lossy(&text)).0.into_keys());
    if super::is_own_report(dir) {
        listed.insert(super::REPORT.to_owned());
    }
    if let Ok(manifest) = Manifest::read(dir) {
        listed.extend(manifest.files().map(|(path, _)| path.to_owned()));
    }
    listed
}
