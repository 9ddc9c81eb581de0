//! The program from outside: exit codes, messages, and hashes that nothing around it can move.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn icl() -> Command {
    Command::new(env!("CARGO_BIN_EXE_icl"))
}

/// Runs and returns exit code, stdout and stderr.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn smoke(out: &Path) -> Command {
    let mut command = icl();
    command
        .current_dir(root())
        .args(["run", "fig3-linear", "--profile", "smoke", "--out"])
        .arg(out);
    command
}

fn root_line(stdout: &str) -> String {
    stdout.lines().find(|line| line.starts_with("smoke root")).unwrap().to_owned()
}

#[test]
fn hashes_do_not_depend_on_threads_folder_locale_or_time_zone() {
    let dir = tempfile::tempdir().unwrap();
    let (code, first, _) = outcome(smoke(&dir.path().join("a")).args(["--jobs", "1"]));
    assert_eq!(code, 0, "{first}");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let out = dir.path().join("b");
    let mut varied = smoke(&out);
    varied.current_dir(&elsewhere).arg("--root").arg(root()).args(["--jobs", "2"]);
    varied.env("LC_ALL", "de_DE.UTF-8").env("TZ", "Asia/Tokyo");
    let (code, second, _) = outcome(&mut varied);
    assert_eq!(code, 0, "{second}");
    assert_eq!(root_line(&first), root_line(&second));
    let sums = |name: &str| std::fs::read(dir.path().join(name).join("smoke/SHA256SUMS")).unwrap();
    assert_eq!(sums("a"), sums("b"));
}

#[test]
fn an_altered_digit_is_found_and_named_and_a_damaged_table_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (code, text, _) = outcome(&mut smoke(dir.path()));
    assert_eq!(code, 0, "{text}");
    let table = dir.path().join("smoke/data/fig3-linear/training.csv");
    let good = std::fs::read_to_string(&table).unwrap();
    let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
    let last = lines[5].pop().unwrap();
    lines[5].push(if last == '1' { '2' } else { '1' });
    std::fs::write(&table, lines.join("\n") + "\n").unwrap();
    let verify = || outcome(icl().current_dir(root()).arg("verify").arg(dir.path()));
    let (code, text, _) = verify();
    assert_eq!(code, 1, "{text}");
    for part in ["training.csv", "row 5", "column `relative_loss`", "expected"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    std::fs::write(&table, good.replacen("plain", "plain,extra", 1)).unwrap();
    let (code, _, error) = verify();
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("training.csv"), "{error}");
    std::fs::write(&table, &good).unwrap();
    assert_eq!(verify().0, 0);
    std::fs::remove_file(&table).unwrap();
    let (code, text, _) = verify();
    assert!(code == 1 && text.contains("missing"), "{text}");
}

#[test]
fn bad_input_is_refused_with_code_two_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let damaged = dir.path().join("damaged.safetensors");
    std::fs::write(&damaged, b"not a file of tensors").unwrap();
    let taken = dir.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let weights = dir.path().join("w.safetensors");
    let (damaged, taken) = (damaged.to_str().unwrap(), taken.to_str().unwrap());
    let weights = weights.to_str().unwrap();
    let train = |more: &[&'static str]| {
        [&["train", "--task", "linear", "--out"], &[weights][..], more].concat()
    };
    let cases: [(Vec<&str>, &[&str]); 10] = [
        (vec!["run", "fig99", "--profile", "smoke"], &["fig99", "fig3-linear", "icl list"]),
        (vec!["run", "--profile", "tiny"], &["tiny", "smoke"]),
        (vec!["run", "--profile", "smoke", "--shard", "3/2"], &["3/2", "K/N"]),
        (vec!["run", "--profile", "smoke", "--device", "cuda"], &["cuda", "cpu"]),
        (vec!["run", "fig3-linear", "--profile", "smoke", "--out", taken], &["taken", "--out"]),
        (vec!["verify", "/nonexistent"], &["/nonexistent", "icl run"]),
        (
            vec!["train", "--task", "linear", "--out", weights, "--init", damaged],
            &["damaged.safetensors", "header"],
        ),
        (vec!["train", "--task", "cubic", "--out", weights], &["cubic", "trigonometric"]),
        (train(&["--n", "0"]), &["n_demos", "found 0"]),
        (train(&["--modification", "negative:m=15"]), &["negative:m", "15"]),
    ];
    for (arguments, parts) in cases {
        let (code, _, error) = outcome(icl().current_dir(root()).args(&arguments));
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn damaged_settings_are_refused_by_file_and_field() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("experiments")).unwrap();
    std::fs::copy(root().join("Cargo.toml"), dir.path().join("Cargo.toml")).unwrap();
    let good = std::fs::read_to_string(root().join("experiments/fig3-linear.toml")).unwrap();
    let file = dir.path().join("experiments/fig3-linear.toml");
    for (old, new, part) in [
        ("value = 15", "value = \"fifteen\"", "n_demos"),
        ("value = 15", "value = -15", "n_demos"),
        ("value = 15", "value = 1000000000", "n_demos"),
        ("[d_t]", "[d_tt]", "d_tt"),
        ("smoke = 256", "smoke = 255", "batch"),
        ("value = \"linear\"", "value = \"cubic\"", "cubic"),
        ("alpha=0.5", "alpha=5", "alpha"),
    ] {
        std::fs::write(&file, good.replacen(old, new, 1)).unwrap();
        let mut command = icl();
        command.args(["run", "fig3-linear", "--profile", "smoke", "--root"]).arg(dir.path());
        let (code, _, error) = outcome(&mut command);
        assert_eq!(code, 2, "{new}: {error}");
        for part in [part, "fig3-linear.toml", "expected"] {
            assert!(error.contains(part), "{new}: {error}");
        }
    }
    assert!(!dir.path().join("out").exists());
}

#[test]
fn trained_weights_continue_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let train = |steps: &str, init: Option<&Path>, out: &Path| {
        let mut command = icl();
        command.args(["train", "--task", "linear", "--n-test", "64", "--batch", "64", "--json"]);
        command.args(["--steps", steps, "--out"]).arg(out);
        if let Some(init) = init {
            command.arg("--init").arg(init);
        }
        let (code, text, error) = outcome(&mut command);
        assert_eq!(code, 0, "{error}");
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        (record["test_loss"].as_f64().unwrap(), record["test_loss_over_variance"].as_f64().unwrap())
    };
    let whole = train("20", None, &file("whole"));
    train("12", None, &file("part"));
    let rest = train("20", Some(&file("part")), &file("rest"));
    assert_eq!(whole, rest);
    assert_eq!(std::fs::read(file("whole")).unwrap(), std::fs::read(file("rest")).unwrap());
}

#[test]
fn list_is_machine_readable_and_documents_are_fresh() {
    let (code, text, _) = outcome(icl().current_dir(root()).args(["list", "--json"]));
    assert_eq!(code, 0);
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    for item in list.as_array().unwrap() {
        for field in ["id", "paper", "claim", "minutes"] {
            assert!(!item[field].is_null(), "{field}: {item}");
        }
    }
    let (code, text, _) = outcome(icl().current_dir(root()).args(["document", "--check"]));
    assert_eq!(code, 0, "{text}");
}
