//! What the documents refer to is there.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents of the repository: Markdown beside the workspace's `Cargo.toml` and in `docs/`.
fn documents() -> Vec<PathBuf> {
    let folders = [root(), root().join("docs")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.sort();
    files
}

/// Targets of `[text](target)` outside code blocks.
fn links(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    outside
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned()))
        .collect()
}

/// What GitHub calls the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let plain = heading.trim_start_matches('#').trim().to_lowercase();
        plain.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>()
    };
    headings.map(|heading| anchor(heading).replace(' ', "-")).collect()
}

#[test]
fn links_between_documents_and_to_code_lead_somewhere() {
    let documents = documents();
    assert!(documents.iter().any(|path| path.ends_with("docs/theory.md")), "{documents:?}");
    let mut checked = 0;
    for document in documents {
        for link in links(&fs::read_to_string(&document).unwrap()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((&link, ""));
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
            if !part.is_empty() {
                let headings = anchors(&fs::read_to_string(target).unwrap());
                assert!(headings.contains(part), "{}: no heading {link}", document.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} links");
}

/// All Rust sources of the workspace's crates.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names in backticks in some columns of a table's rows.
fn names<'a>(table: &'a str, columns: &'a [usize]) -> impl Iterator<Item = &'a str> {
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        columns.iter().filter_map(move |column| cells.get(*column).copied()).collect::<Vec<_>>()
    });
    let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    quoted.flat_map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

#[test]
fn names_in_the_notation_are_names_in_the_code() {
    let notation = fs::read_to_string(root().join("NOTATION.md")).unwrap();
    let mut code = String::new();
    sources(&root().join("crates"), &mut code);
    let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut checked = 0;
    for name in names(&notation, &[2, 4]).filter(|name| !name.is_empty()) {
        let module = root().join("crates").join(name.replace('_', "-"));
        assert!(words.contains(name) || module.exists(), "NOTATION.md: no `{name}` in the code");
        checked += 1;
    }
    assert!(checked > 60, "{checked} names");
}
