//! The inputs of the fuzz targets, and those of faults that they found, in the ordinary tests.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(
    clippy::print_stdout,
    reason = "the name of the input stands before the message of a panic"
)]

use experiments::fuzzing;
use std::path::{Path, PathBuf};

/// Every file of `fuzz/<kind>/<target>`; none if there is no such folder.
fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let entries = std::fs::read_dir(fuzz.join(kind).join(target)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn replay(target: &str, hook: fn(&[u8])) {
    let corpus = inputs("corpus", target);
    assert!(!corpus.is_empty(), "fuzz/corpus/{target}: found no input, expected some");
    for path in corpus.into_iter().chain(inputs("regressions", target)) {
        let bytes = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        hook(&bytes);
    }
}

#[test]
fn settings() {
    replay("settings", fuzzing::settings);
}

#[test]
fn table() {
    replay("table", fuzzing::table);
}

#[test]
fn tensors() {
    replay("tensors", fuzzing::tensors);
}

#[test]
fn manifest() {
    replay("manifest", fuzzing::manifest);
}
