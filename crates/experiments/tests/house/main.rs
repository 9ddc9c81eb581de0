//! The house's own rules, read from the sources of all crates.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::print_stdout, reason = "long files are listed beside the test's name")]

mod graph;
mod source;

use source::{Source, code};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The folders of all crates.
fn crates() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    let mut folders: Vec<PathBuf> = folders.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|folder| folder.join("Cargo.toml").is_file());
    folders.sort();
    folders
}

/// A module and its own children may refer to each other: they are one room. Among the children of any module,
/// each taken with all that stands below it, references form no circle; names that a module only hands on
/// (`pub use`) count as references to where they stand.
#[test]
fn rooms_do_not_import_each_other_in_circles() {
    let circles: Vec<String> = crates()
        .iter()
        .flat_map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let found = graph::circles(&source::read(folder));
            found.into_iter().map(move |circle| format!("{name}: {circle}"))
        })
        .collect();
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_between_rooms_is_found_and_one_within_a_room_is_none() {
    let file = |path: &[&str], text: &str| Source::new(path, text);
    let innocent = [
        file(&[], "mod a; mod b; pub use b::Thing;"),
        file(&["a"], "use crate::b::Thing; mod part; use part::x;"),
        file(&["a", "part"], "use super::y; fn x() { let _ = \"crate::a\"; } // crate::b"),
        file(&["b"], "pub struct Thing; #[cfg(test)] mod tests { use crate::a::y; }"),
    ];
    assert_eq!(graph::circles(&innocent), Vec::<String>::new());
    // the part of one room needs the other room, which needs the first by a name that the root hands on
    let mut guilty = innocent;
    guilty[0] = file(&[], "mod a; mod b; pub use a::{Other, part::x};");
    guilty[3] = file(&["b"], "use crate::{x}; pub struct Thing;");
    let found = graph::circles(&guilty);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a -> b") && found[0].contains("b -> a"), "{found:?}");
}

#[test]
fn no_function_is_longer_than_sixty_lines() {
    let mut long = Vec::new();
    for source in crates().iter().flat_map(|folder| source::read(folder)) {
        for (name, lines) in source.functions() {
            if lines > 60 {
                long.push(format!("{}: {name}: {lines} lines", source.path.display()));
            }
        }
    }
    assert!(long.is_empty(), "functions of more than 60 lines:\n{}", long.join("\n"));
}

#[test]
fn functions_are_measured_from_their_name_to_their_last_brace() {
    let text = "fn a() {\n  // }\n  let b = '}';\n  \"}\"\n}\nimpl X {\n  fn c(\n  ) -> Y {\n  }\n  fn d();\n}\n";
    let source = Source::new(&[], text);
    assert_eq!(source.functions(), [("a".to_owned(), 5), ("c".to_owned(), 3)]);
}

/// Files of more than 300 lines are listed, and ARCHITECTURE.md gives the reason of each.
#[test]
fn long_files_have_a_reason_in_the_architecture() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut without = Vec::new();
    for source in crates().iter().flat_map(|folder| source::read(folder)) {
        let path = source.path.strip_prefix(root().join("crates")).unwrap().display().to_string();
        if source.lines() > 300 {
            println!("{path}: {} lines", source.lines());
            if !text.contains(&format!("`{path}`")) {
                without.push(path);
            }
        }
    }
    assert!(without.is_empty(), "no reason in ARCHITECTURE.md for:\n{}", without.join("\n"));
}

/// A list of names in build.rs.
fn build_list(name: &str) -> BTreeSet<String> {
    let build =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs")).unwrap();
    let from = build.find(&format!("const {name}:")).unwrap();
    let body = build[from..].split_once('=').unwrap().1.split_once(';').unwrap().0;
    body.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What the key of a cell does not depend on makes no cell.
#[test]
fn files_outside_the_cells_digest_make_no_cell() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths: Vec<PathBuf> = build_list("PRESENTATION")
        .iter()
        .map(|path| {
            own.join(path).canonicalize().unwrap_or_else(|e| panic!("build.rs names {path}: {e}"))
        })
        .collect();
    let names = build_list("PRESENTATION_NAMES");
    let mut left_out = 0;
    for source in crates().iter().flat_map(|folder| source::read(folder)) {
        let path = source.path.canonicalize().unwrap();
        let text = code(&source.text);
        let named = names.iter().any(|name| path.ends_with(name));
        if named || paths.iter().any(|presented| path.starts_with(presented)) {
            left_out += 1;
            assert!(
                !text.contains("Cell {"),
                "{} makes a cell, and its source is not in the key",
                path.display()
            );
        }
    }
    assert!(left_out > paths.len(), "only {left_out} files are left out");
}

/// A crate whose numbers reach a cell or an output is part of every cell's key.
#[test]
fn the_source_digest_covers_every_crate_that_items_use() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (folders, without) = (build_list("FOLDERS"), build_list("WITHOUT"));
    for path in &without {
        assert!(own.join(path).exists(), "build.rs leaves out {path}, which does not exist");
    }
    let outside = |path: &Path| without.iter().any(|part| path.starts_with(own.join(part)));
    let counted: Vec<Source> =
        source::read(own).into_iter().filter(|source| !outside(&source.path)).collect();
    for folder in crates() {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = manifest.split("name = \"").nth(1).unwrap().split('"').next().unwrap();
        let path = format!("{}::", name.replace('-', "_"));
        let used = counted.iter().find(|source| code(&source.text).contains(&path));
        let covered =
            folders.contains(&format!("../{}/src", folder.file_name().unwrap().to_string_lossy()));
        if let Some(source) = used {
            assert!(
                covered,
                "{} uses {name}, which build.rs does not cover",
                source.path.display()
            );
        }
    }
}
