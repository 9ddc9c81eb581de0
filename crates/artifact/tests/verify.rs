//! Verification from outside: whatever is damaged, missing or foreign is found and named.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use artifact::digest::sha256;
use artifact::manifest::{
    FORMAT, FileEntry, Manifest, ManifestItem, SUMS, TableEntry, canonical_json, publish,
};
use artifact::output::folder;
use artifact::table::Table;
use artifact::verify::{Expected, Report, verify};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder of one item, and the same as expected.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let table = Table::builder("t").floats("x", vec![0.5, 0.25]).build().unwrap();
        let claims = canonical_json(&Vec::<u8>::new()).unwrap();
        let (csv, claims_path) = ("data/a/t.csv".to_owned(), "data/a/claims.json".to_owned());
        let item = ManifestItem {
            paper: "none".into(),
            claim: "a claim".into(),
            settings: json!({"seed": 1}),
            tables: [(csv.clone(), TableEntry::new(&table, &BTreeMap::new()).unwrap())].into(),
            figures: BTreeMap::new(),
            claims: FileEntry { path: claims_path.clone(), sha256: sha256(&claims) },
        };
        let manifest = Manifest {
            format: FORMAT.into(),
            profile: "smoke".into(),
            generator: "g".into(),
            items: [("a".to_owned(), item)].into(),
        };
        let bytes = table.to_csv().unwrap();
        let files = [(csv, bytes.clone()), (claims_path, claims.clone())].into();
        let run = canonical_json(&json!({"items": {"a": {}}, "seconds": 1.5})).unwrap();
        let host = canonical_json(&json!({"cpu": "x"})).unwrap();
        let run_files = [("run.json".to_owned(), run), ("host.json".to_owned(), host)].into();
        let case = Self { dir };
        publish(&case.out(), &manifest, &files, &run_files).unwrap();
        let expected = case.expected();
        for (path, bytes) in [
            (expected.data.join("a/t.csv"), bytes),
            (expected.data.join("a/claims.json"), claims),
            (expected.figures.join("manifest.json"), manifest.to_json().unwrap()),
            (expected.figures.join(SUMS), manifest.sums().unwrap().into_bytes()),
        ] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        case
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out/smoke")
    }

    fn expected(&self) -> Expected {
        let folder = |name: &str| self.dir.path().join(name).join("smoke");
        Expected { data: folder("data"), figures: folder("figures"), keeps_figures: false }
    }

    fn verify(&self) -> Report {
        verify(&self.out(), "smoke", &self.expected())
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = folder::entries(self.dir.path()).unwrap();
        entries.into_iter().map(|entry| self.dir.path().join(entry.path)).collect()
    }
}

/// Whether a finding names a file, by its path or in its text.
fn names(report: &Report, path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut findings = report.outputs.iter().filter(|output| !output.level.passes());
    findings.any(|o| o.path.contains(name) || o.detail.contains(name))
}

#[test]
fn an_intact_folder_passes_at_bits() {
    let report = Case::new().verify();
    assert!(report.passes(), "{:?}", report.outputs);
    assert_eq!(report.expected_root, Some(report.root));
}

#[test]
fn every_flipped_bit_of_every_file_is_found_and_named() {
    let case = Case::new();
    for path in case.files() {
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            let report = case.verify();
            assert!(!report.passes(), "bit {bit} of {}", path.display());
            assert!(names(&report, &path), "bit {bit} of {}: {:?}", path.display(), report.outputs);
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(case.verify().passes());
}

#[test]
fn every_missing_or_cut_or_foreign_file_is_found_and_named() {
    let case = Case::new();
    for path in case.files() {
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(names(&case.verify(), &path), "{} is missing", path.display());
        std::fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert!(names(&case.verify(), &path), "{} is cut", path.display());
        std::fs::write(&path, &good).unwrap();
        let foreign = path.with_file_name("notes.txt");
        std::fs::write(&foreign, "x").unwrap();
        assert!(names(&case.verify(), &foreign), "{}", foreign.display());
        std::fs::remove_file(&foreign).unwrap();
        let hidden = path.with_file_name(".DS_Store");
        std::fs::write(&hidden, "x").unwrap();
        let report = case.verify();
        assert!(report.passes() && !report.notes.is_empty(), "hidden files are passed over");
        std::fs::remove_file(&hidden).unwrap();
    }
}

#[test]
fn the_first_finding_does_not_hide_the_others() {
    let case = Case::new();
    let paths = case.files();
    for path in &paths {
        std::fs::write(path, "damaged").unwrap();
    }
    let report = case.verify();
    for path in paths.iter().filter(|path| path.starts_with(case.out())) {
        assert!(names(&report, path), "{}: {:?}", path.display(), report.outputs);
    }
}

#[test]
fn a_half_done_replacement_is_seen() {
    let case = Case::new();
    std::fs::write(case.out().join(folder::MARKER), "{}").unwrap();
    assert!(names(&case.verify(), &case.out().join(folder::MARKER)));
}

#[test]
fn another_root_never_passes_even_with_equal_files() {
    let case = Case::new();
    let path = case.expected().figures.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("a claim", "another claim");
    std::fs::write(&path, &text).unwrap();
    let manifest = Manifest::read(&case.expected().figures).unwrap();
    std::fs::write(case.expected().figures.join(SUMS), manifest.sums().unwrap()).unwrap();
    let report = case.verify();
    assert!(!report.passes());
    assert_ne!(report.expected_root, Some(report.root));
}
