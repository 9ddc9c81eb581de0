//! Verification from outside: whatever is damaged, missing or foreign is found and named.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use artifact::Class;
use artifact::digest::sha256;
use artifact::finding::Kind;
use artifact::manifest::{
    FORMAT, FigureEntry, FileEntry, Manifest, ManifestItem, Provenance, SUMS, TableEntry,
    canonical_json, publish,
};
use artifact::output::folder;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use artifact::verify::{Expected, Level, OutputReport, Report, verify};
use serde_json::json;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const CSV: &str = "data/a/t.csv";
const FIGURE: &str = "figures/a.svg";
const CLAIMS: &str = "data/a/claims.json";
const NO_CLAIMS: &[u8] = b"[]\n";

/// A folder of one item, and what is expected of it.
struct Case {
    dir: tempfile::TempDir,
}

/// The table of the folder, of the class, and of numbers that may differ by a hundredth.
fn entry(table: &Table, class: Class) -> TableEntry {
    let tolerance = Tolerance { absolute: 0.01, relative: 0.0, reason: "a test's own".into() };
    TableEntry::new(table, class, &[("x".to_owned(), tolerance)].into()).unwrap()
}

impl Case {
    fn new() -> Self {
        Self::of(Class::Exact, [0.5, 0.25])
    }

    /// A run with the numbers `found` of a class; expected are 0.5 and 0.25.
    fn of(class: Class, found: [f64; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let table = |x: [f64; 2]| Table::builder("t").floats("x", x.to_vec()).build().unwrap();
        let case = Self { dir };
        case.publish(&table(found), class);
        case.expect(&table([0.5, 0.25]), class);
        case
    }

    fn manifest(table: &Table, class: Class) -> Manifest {
        let figure =
            FigureEntry { sha256: sha256(&table.to_csv().unwrap()), drawn_from: vec![CSV.into()] };
        let item = ManifestItem {
            paper: "none".into(),
            claim: "a claim".into(),
            settings: json!({"seed": 1}),
            tables: [(CSV.to_owned(), entry(table, class))].into(),
            captions: [("a".to_owned(), "A finding.".to_owned())].into(),
            figures: [(FIGURE.to_owned(), figure)].into(),
            claims: FileEntry { path: CLAIMS.to_owned(), sha256: sha256(NO_CLAIMS) },
        };
        Manifest {
            format: FORMAT.into(),
            profile: "smoke".into(),
            generator: "g".into(),
            items: [("a".to_owned(), item)].into(),
        }
    }

    fn publish(&self, table: &Table, class: Class) {
        let csv = table.to_csv().unwrap();
        // the figure shows its table's numbers
        let files = [(CSV, csv.clone()), (FIGURE, csv), (CLAIMS, NO_CLAIMS.to_vec())];
        let files = files.map(|(path, bytes)| (path.to_owned(), bytes)).into();
        let run = canonical_json(&json!({"items": {"a": {}}, "seconds": 1.5})).unwrap();
        let host = canonical_json(&json!({"cpu": "x"})).unwrap();
        let words = canonical_json(&Provenance::of([].into())).unwrap();
        let run_files = [("run.json", run), ("host.json", host), ("provenance.json", words)];
        let run_files = run_files.map(|(name, bytes)| (name.to_owned(), bytes)).into();
        publish(&self.out(), &Self::manifest(table, class), &files, &run_files).unwrap();
    }

    fn expect(&self, table: &Table, class: Class) {
        let (manifest, expected) = (Self::manifest(table, class), self.expected());
        for (path, bytes) in [
            (expected.path(CSV), table.to_csv().unwrap()),
            (expected.path(CLAIMS), NO_CLAIMS.to_vec()),
            (expected.figures.join("manifest.json"), manifest.to_json().unwrap()),
            (expected.figures.join(SUMS), manifest.sums().unwrap().into_bytes()),
        ] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
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
    findings.any(|o| o.path.contains(name) || o.detail().contains(name))
}

#[test]
fn an_intact_folder_passes_at_bits() {
    let report = Case::new().verify();
    assert!(report.passes(), "{:?}", report.outputs);
    assert_eq!(report.expected_root, Some(report.root));
}

/// Writes as many bytes into a file as it has: some file systems wait for the disk where it is cut before.
fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn every_flipped_bit_of_every_file_is_found_and_named() {
    let case = Case::new();
    for path in case.files() {
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            overwrite(&path, &bad);
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

/// The report of one output.
fn output<'a>(report: &'a Report, path: &str) -> &'a OutputReport {
    report.outputs.iter().find(|output| output.path == path).unwrap()
}

#[test]
fn findings_say_file_row_column_found_and_expected() {
    let case = Case::of(Class::Exact, [0.5, 0.375]);
    let report = case.verify();
    assert!(!report.passes());
    let json = serde_json::to_value(output(&report, CSV)).unwrap();
    assert_eq!((&json["level"], &json["class"]), (&json!("differs"), &json!("exact")));
    let finding = &json["findings"][0];
    for (field, value) in [
        ("file", json!(CSV)),
        ("row", json!(2)),
        ("column", json!("x")),
        ("found", json!("0.375")),
        ("expected", json!("0.25")),
    ] {
        assert_eq!(finding[field], value, "{field}: {finding}");
    }
    assert_eq!(json["findings"][1]["kind"], "digest");
    let text = "row 2, column `x`: found 0.375, expected 0.25 (allowed 0.01 + 0 relative: a test's own); \
                SHA-256 found";
    assert!(json["detail"].as_str().unwrap().starts_with(text), "{json}");
}

#[test]
fn numbers_within_their_tolerance_pass_but_another_root_of_exact_ones_does_not() {
    let report = Case::of(Class::Exact, [0.5, 0.255]).verify();
    let table = output(&report, CSV);
    assert_eq!((table.level, table.class), (Level::Tolerance, Class::Exact));
    assert_eq!(table.findings[0].kind, Kind::WithinTolerance);
    // the figure that shows them has other bits
    assert_eq!(output(&report, FIGURE).level, Level::Differs);
    assert!(!report.passes());
}

#[test]
fn numbers_of_a_device_are_held_against_their_tolerance_and_never_called_bits() {
    let same = Case::of(Class::Cuda, [0.5, 0.25]).verify();
    let levels: Vec<Level> = [CSV, FIGURE, CLAIMS].map(|path| output(&same, path).level).to_vec();
    assert!(same.passes() && levels == [Level::Tolerance; 3], "{levels:?}");
    assert_eq!(same.expected_root, None, "no root is expected of them");
    let near = Case::of(Class::Cuda, [0.5, 0.255]).verify();
    assert!(near.passes(), "{:?}", near.outputs);
    assert_eq!(output(&near, CSV).level, Level::Tolerance);
    assert_eq!(output(&near, CSV).class, Class::Cuda);
    assert_eq!(output(&near, FIGURE).level, Level::Integrity, "a figure has no tolerance");
    let far = Case::of(Class::Cuda, [0.5, 0.3]).verify();
    assert!(!far.passes() && output(&far, CSV).level == Level::Differs);
    // damage is damage, whatever promises the bits
    let case = Case::of(Class::Cuda, [0.5, 0.25]);
    std::fs::write(case.out().join(CSV), "x\n0.5\n0.2501\n").unwrap();
    assert!(!case.verify().passes());
}

#[test]
fn a_folder_without_provenance_is_of_an_earlier_run_unless_its_list_names_it() {
    let case = Case::new();
    std::fs::remove_file(case.out().join("provenance.json")).unwrap();
    assert!(names(&case.verify(), Path::new("provenance.json")));
    let sums = case.out().join("RUN.SHA256SUMS");
    let lines = std::fs::read_to_string(&sums).unwrap();
    let others = lines.lines().filter(|line| !line.contains("provenance"));
    std::fs::write(&sums, others.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let report = case.verify();
    assert!(report.passes(), "{:?}", report.outputs);
    assert!(report.notes[0].contains("provenance.json"), "{:?}", report.notes);
}
