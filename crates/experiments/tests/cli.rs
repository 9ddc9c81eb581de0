//! The program from outside: exit codes, messages, and hashes that nothing around it can move.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use assert_cmd::Command;
use std::io::{BufRead as _, BufReader, Read as _};
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
    for part in ["training.csv", "row 5", "column `loss_over_variance`", "expected"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, text, _) =
        outcome(icl().current_dir(root()).args(["verify", "--json"]).arg(dir.path()));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let outputs = report["profiles"][0]["outputs"].as_array().unwrap();
    let path = "data/fig3-linear/training.csv";
    let output = outputs.iter().find(|output| output["path"] == path).unwrap();
    assert_eq!((code, &output["level"], &output["class"]), (1, &"differs".into(), &"exact".into()));
    assert_eq!(output["device"], "cpu");
    let finding = &output["findings"][0];
    assert_eq!((&finding["file"], &finding["row"]), (&path.into(), &5.into()), "{finding}");
    assert_eq!(finding["column"], "loss_over_variance", "{finding}");
    assert_eq!(finding["found"].as_str().map(str::len), finding["expected"].as_str().map(str::len));
    assert_ne!(finding["found"], finding["expected"]);
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
fn provenance_names_settings_and_cells_and_is_written_again_where_it_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(outcome(&mut smoke(dir.path())).0, 0);
    let path = dir.path().join("smoke/provenance.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let provenance: serde_json::Value = serde_json::from_str(&text).unwrap();
    let item = &provenance["items"]["fig3-linear"];
    assert!(item["settings"]["n_demos"]["tag"].is_string(), "{item}");
    assert!(item["settings"]["n_demos"]["reason"].is_string(), "{item}");
    let manifest = std::fs::read_to_string(dir.path().join("smoke/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let caption = &manifest["items"]["fig3-linear"]["captions"]["fig3-linear"];
    assert!(caption.as_str().unwrap().contains("Task linear"), "{caption}");
    let key = item["cells"]["equivalence"].as_str().unwrap();
    assert!(dir.path().join("store").join(&key[..2]).join(format!("{key}.csv")).exists());
    std::fs::remove_file(&path).unwrap();
    assert_eq!(outcome(&mut smoke(dir.path())).0, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
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
        // a user's own items have no measured time
        let own = item["paper"].as_str().unwrap().starts_with("none");
        let fields = ["id", "paper", "claim", "minutes"];
        for field in &fields[..if own { 3 } else { 4 }] {
            assert!(!item[field].is_null(), "{field}: {item}");
        }
    }
    let (code, text, _) = outcome(icl().current_dir(root()).args(["document", "--check"]));
    assert_eq!(code, 0, "{text}");
}

/// A copy of the settings, for runs with settings of their own.
fn workspace_with(dir: &Path, own: &[(&str, &[u8])]) {
    std::fs::create_dir(dir.join("experiments")).unwrap();
    std::fs::copy(root().join("Cargo.toml"), dir.join("Cargo.toml")).unwrap();
    for name in ["fig1-dual-scheme.toml", "fig3-linear.toml"] {
        let from = root().join("experiments").join(name);
        std::fs::copy(from, dir.join("experiments").join(name)).unwrap();
    }
    for (name, text) in own {
        std::fs::write(dir.join("experiments").join(name), text).unwrap();
    }
}

#[test]
fn entries_beside_settings_stop_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    workspace_with(dir.path(), &[("._fig3-linear.toml", &[0, 5, 22, 7]), ("own.toml", b"x = [")]);
    let mut command = icl();
    command
        .args(["run", "fig1-dual-scheme", "own", "--profile", "smoke", "--root"])
        .arg(dir.path());
    let (code, text, error) = outcome(&mut command);
    assert_eq!(code, 2, "{error}");
    assert!(text.contains("fig1-dual-scheme") && text.contains("smoke root"), "{text}");
    assert!(error.contains("own.toml") && error.contains("._fig3-linear.toml"), "{error}");
    assert!(dir.path().join("out/smoke/data/fig1-dual-scheme").is_dir());
}

#[test]
fn an_interrupted_run_says_how_to_resume_and_keeps_what_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_icl"));
        command.current_dir(root()).args(["run", "--all", "--profile", "smoke", "--out"]);
        command.arg(dir.path()).stderr(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        // the work begins after this line
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let mut error = String::new();
        while !error.contains("plan:") {
            assert!(reader.read_line(&mut error).unwrap() > 0, "{error}");
        }
        let kill = format!("kill -{signal} {}", child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        reader.read_to_string(&mut error).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{error}");
        assert!(error.contains("the same command computes only the rest"), "{error}");
    }
    let (code, text, error) = outcome(&mut smoke(dir.path()));
    assert_eq!(code, 0, "{text}{error}");
    let hidden =
        std::process::Command::new("find").arg(dir.path()).args(["-name", ".icl-*"]).output();
    assert!(hidden.unwrap().stdout.is_empty(), "temporary files are left");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let pipe = format!("{} list | head -1", env!("CARGO_BIN_EXE_icl"));
    let output =
        std::process::Command::new("sh").current_dir(root()).args(["-c", &pipe]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let full = format!("{} list > /dev/full", env!("CARGO_BIN_EXE_icl"));
    let output =
        std::process::Command::new("sh").current_dir(root()).args(["-c", &full]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_on_standard_output_is_that_file_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.safetensors");
    let train = |out: &Path| {
        let mut command = icl();
        command.args(["train", "--task", "linear", "--steps", "2", "--batch", "16"]);
        command.args(["--n-test", "16", "--test-every", "2", "--out"]).arg(out);
        command.output().unwrap()
    };
    assert!(train(&file).status.success());
    let output = train(Path::new("/dev/stdout"));
    assert_eq!(output.stdout, std::fs::read(&file).unwrap());
    assert!(String::from_utf8_lossy(&output.stderr).contains("test loss"));
}

#[test]
fn a_users_files_and_links_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for name in ["w.probe", "probe", ".movie.part"] {
        std::fs::write(file(name), "precious").unwrap();
    }
    let mut train = icl();
    train.args(["train", "--task", "linear", "--steps", "2", "--batch", "16", "--n-test", "16"]);
    train.args(["--test-every", "2", "--out"]).arg(file("w.safetensors"));
    assert_eq!(outcome(&mut train).0, 0);
    let mut doctor = icl();
    doctor.current_dir(root()).args(["doctor", "--out"]).arg(dir.path());
    outcome(&mut doctor);
    std::fs::create_dir(file("scratch")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("scratch", file("smoke")).unwrap();
        std::os::unix::fs::symlink(".", file("circle")).unwrap();
    }
    let mut run = icl();
    run.current_dir(root()).args(["run", "fig1-dual-scheme", "--profile", "smoke", "--out"]);
    let (code, text, error) = outcome(run.arg(dir.path()));
    assert_eq!(code, 0, "{text}{error}");
    for name in ["w.probe", "probe", ".movie.part"] {
        assert_eq!(std::fs::read(file(name)).unwrap(), b"precious", "{name}");
    }
    assert!(file("smoke").is_symlink() && file("scratch/manifest.json").exists());
}

#[test]
fn verify_works_inside_a_profiles_folder_and_names_all_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(outcome(&mut smoke(dir.path())).0, 0);
    let folder = dir.path().join("smoke");
    let verify = || outcome(icl().current_dir(&folder).args(["verify", ".", "--root"]).arg(root()));
    let (code, text, error) = verify();
    assert_eq!(code, 0, "{text}{error}");
    let store = dir.path().join("store");
    let folders = std::fs::read_dir(&store).unwrap().flatten().filter(|e| e.path().is_dir());
    let cells: Vec<PathBuf> = folders
        .flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    let mut bytes = std::fs::read(&cells[0]).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&cells[0], bytes).unwrap();
    std::fs::remove_file(&cells[1]).unwrap();
    std::fs::write(folder.join("notes.txt"), "x").unwrap();
    std::fs::write(folder.join(".DS_Store"), "x").unwrap();
    std::fs::remove_file(folder.join("figures/fig3-linear.svg")).unwrap();
    let (code, text, error) = verify();
    assert_eq!(code, 1, "{text}{error}");
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    for name in [&stem(&cells[0]), &stem(&cells[1]), "notes.txt", "fig3-linear.svg"] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(error.contains(".DS_Store") && !text.contains(".DS_Store"), "{error}");
}

#[test]
fn a_run_is_continued_only_with_its_own_settings() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.st"), dir.path().join("b.st"));
    let train = |more: &[&str], init: bool, out: &Path| {
        let mut command = icl();
        command.args(["train", "--batch", "64", "--n-test", "64", "--test-every", "10"]);
        command.args(more).arg("--out").arg(out);
        if init {
            command.arg("--init").arg(&a);
        }
        outcome(&mut command)
    };
    assert_eq!(train(&["--task", "linear", "--steps", "20"], false, &a).0, 0);
    for (more, part) in [
        (&["--task", "exponential", "--steps", "40"][..], "task"),
        (&["--task", "linear", "--steps", "40", "--seed", "7"], "seed"),
        (&["--task", "linear", "--steps", "40", "--d-r", "50"], "kernel"),
        (&["--task", "linear", "--steps", "40", "--learning-rate", "0.1"], "adam"),
        (
            &["--task", "linear", "--steps", "40", "--modification", "negative:m=3,beta=0.5"],
            "modification",
        ),
        (&["--task", "linear", "--steps", "10"], "--steps"),
        (&["--task", "linear", "--steps", "20"], "--steps"),
    ] {
        let (code, _, error) = train(more, true, &b);
        assert_eq!(code, 2, "{more:?}: {error}");
        assert!(error.contains(part) && error.contains("expected"), "{more:?}: {error}");
        assert!(!b.exists());
    }
    assert_eq!(train(&["--task", "linear", "--steps", "40"], true, &b).0, 0);
}
