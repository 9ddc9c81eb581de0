//! Commands that write into the workspace, in a copy of it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "a copy of the workspace")]

mod bless;
mod inputs;
mod own_item;

use std::path::Path;
use std::process::Command;

/// What the commands read and write.
const PARTS: [&str; 13] = [
    "ARCHITECTURE.md",
    "ARTIFACT.md",
    "CHANGELOG.md",
    "CLAIMS.md",
    "Cargo.toml",
    "GAPS.md",
    "README.md",
    "benches/peers/results.json",
    "benches/roofline.json",
    "data",
    "docs/theory.md",
    "experiments",
    "figures",
];

/// A copy of the workspace without its sources.
fn copied() -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let dir = tempfile::tempdir().unwrap();
    PARTS.into_iter().for_each(|part| copy(&root.join(part), &dir.path().join(part)));
    dir
}

fn copy(from: &Path, to: &Path) {
    // data and models of others are none of the workspace's
    if from.ends_with("data/glue") || from.ends_with("data/models") {
        return;
    }
    if from.is_dir() {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
}

/// Runs the program on a workspace; exit code and all that it says.
fn icl(workspace: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
    let output = command.args(arguments).arg("--root").arg(workspace).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}
