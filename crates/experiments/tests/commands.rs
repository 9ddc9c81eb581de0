//! What `icl show`, `icl bench` and `icl doctor` say, against what they say it of.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests read and write files")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn icl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
    command.current_dir(root()).args(arguments);
    command
}

/// Exit code, standard output, standard error.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn show_names_every_setting_with_its_reason_and_every_expected_file() {
    let id = "fig6-attention-heatmaps";
    let (code, shown, error) = outcome(&mut icl(&["show", id, "--profile", "smoke"]));
    assert_eq!(code, Some(0), "{error}");
    // lines are wrapped: words stand in the same order
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words(&shown);
    let file = std::fs::read_to_string(root().join(format!("experiments/{id}.toml"))).unwrap();
    let settings: toml::Table = file.parse().unwrap();
    assert!(settings.len() > 3);
    for (name, entry) in settings {
        let value = entry.get("smoke").or(entry.get("value")).unwrap();
        let tag = entry["tag"].as_str().unwrap();
        let reason = entry["reason"].as_str().unwrap();
        let line = words(&format!("{name} = {value} [{tag}] {reason}"));
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    let manifest = std::fs::read(root().join("figures/smoke/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let item = &manifest["items"][id];
    let files = item["figures"].as_object().unwrap().iter();
    let files: Vec<_> = files.chain(item["tables"].as_object().unwrap()).collect();
    assert!(files.len() >= 4);
    for (path, entry) in files {
        let digest = &entry["sha256"].as_str().unwrap()[..12];
        assert!(shown.contains(&format!("{digest} {path}")), "{path}: {shown}");
    }
    assert!(shown.contains(" cells"), "{shown}");
    let (code, _, error) = outcome(&mut icl(&["show", "fig99"]));
    assert!(code == Some(2) && error.contains("fig99") && error.contains("icl list"), "{error}");
    let (code, _, error) = outcome(&mut icl(&["show", "fig6"]));
    assert!(code == Some(2) && error.contains(&format!("did you mean `{id}`?")), "{error}");
}

#[test]
fn bench_step_reports_ordered_times_of_what_was_asked_for() {
    let base = ["bench", "step", "--batch", "64", "--steps", "9", "--threads", "1", "--json"];
    for variant in [&["--variant", "softmax"][..], &["--variant", "positive", "--d-r", "16"]] {
        let (code, text, error) = outcome(&mut icl(&[&base[..], variant].concat()));
        assert_eq!(code, Some(0), "{error}");
        let record: Value = serde_json::from_str(&text).unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        let quartiles = [number(&record["quartiles_ms"][0]), number(&record["quartiles_ms"][1])];
        let step = number(&record["ms_per_step"]);
        assert!(quartiles[0] > 0.0 && quartiles[0] <= step && step <= quartiles[1], "{record}");
        assert!(number(&record["gen_ms"]) > 0.0, "{record}");
        assert_eq!((&record["threads"], &record["steps"]), (&1.into(), &9.into()));
    }
    for (more, parts) in [
        (["--variant", "softmax", "--tokens", "1"], ["--tokens 1", "expected"]),
        (["--variant", "softmax", "--steps", "0"], ["--steps 0", "expected"]),
        (["--variant", "softmax", "--batch", "17"], ["17", "multiple of 16"]),
        (["--variant", "softmax", "--modification", "cubed"], ["cubed", "regularised"]),
    ] {
        let (code, _, error) = outcome(&mut icl(&[&["bench", "step"][..], &more].concat()));
        assert_eq!(code, Some(2), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
}

#[test]
fn doctor_names_what_is_missing_with_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let lines = |command: &mut Command| {
        let (code, text, _) = outcome(command);
        let line = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            (words.next().unwrap(), words.next().unwrap(), line.to_owned())
        };
        (code, text.lines().map(line).collect::<Vec<_>>())
    };
    // no program can be found, and the place of the outputs is taken
    let mut command = icl(&["doctor", "--out"]);
    let (code, found) = lines(command.arg(&taken).env("PATH", dir.path()));
    assert_eq!(code, Some(1), "{found:?}");
    let names: Vec<&str> = found.iter().map(|line| line.0.as_str()).collect();
    assert_eq!(names, ["rustc", "cc", "cpu", "memory", "disk", "output", "gpu"]);
    for (i, fix) in [(0, "rustup"), (1, "install"), (5, "--out")] {
        assert_eq!(found[i].1, "missing", "{found:?}");
        assert!(found[i].2.contains(fix), "{found:?}");
    }
    let (_, found) = lines(icl(&["doctor", "--out"]).arg(dir.path().join("new/folder")));
    assert_eq!(found[5].1, "ok", "{found:?}");
    assert!(!dir.path().join("new").exists(), "the doctor leaves nothing");
}
