//! Every command that README and ARTIFACT show is run, or names the test that runs it; every recipe that they name exists.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// How a documented command is run.
enum Way {
    /// With these arguments; `OUT` is a folder of this test.
    Here(&'static [&'static str]),
    /// By the tests of a file, which name these words.
    By(&'static str, &'static [&'static str]),
}
use Way::{By, Here};

const RUN: Way = Here(&["run", "fig1-dual-scheme", "fig5-multi-layer-scheme", "--out", "OUT"]);

/// Every command of the program that the documents show, in an order in which they can be run.
const COMMANDS: [(&str, Way); 21] = [
    ("icl run", RUN),
    ("icl run [ID…] --profile smoke\\|quick\\|paper\\|table", RUN),
    // refused without CUDA; on a GPU by `just test-gpu`
    ("icl run .. --device cuda", By("tests/cli.rs", &["run", "--device", "cuda"])),
    (
        "icl run --all --profile smoke --device cuda --fresh",
        By("tests/cli.rs", &["run", "--device", "cuda"]),
    ),
    ("icl verify", Here(&["verify", "OUT"])),
    ("icl verify [DIR]", Here(&["verify", "OUT"])),
    ("icl report [DIR]", Here(&["report", "OUT"])),
    ("icl list", Here(&["list"])),
    ("icl show ID", Here(&["show", "fig3-linear"])),
    ("icl doctor", By("tests/commands.rs", &["doctor"])),
    ("icl floor --n 15 --d-t 11", Here(&["floor", "--n", "15", "--d-t", "11"])),
    (
        "icl train --task linear --out w.safetensors",
        By("tests/lens.rs", &["train", "--task", "--out"]),
    ),
    (
        "icl lens --tokens FILE --weights FILE",
        By("tests/lens.rs", &["lens", "--tokens", "--weights"]),
    ),
    ("icl lens --model DIR --text FILE", By("tests/lens_bert.rs", &["lens", "--model", "--text"])),
    (
        "icl glue eval --model DIR --task mrpc",
        By("tests/stand_in.rs", &["glue", "eval", "--model"]),
    ),
    // refused without a GPU, as above
    ("icl glue .. --device cuda", By("tests/stand_in.rs", &["glue", "eval", "--device"])),
    ("icl glue train ..", By("tests/stand_in.rs", &["glue", "train", "--out"])),
    ("icl glue grammar --out DIR", By("tests/stand_in.rs", &["glue", "grammar", "--out"])),
    // minutes of work: parsed only
    ("icl bench bert", Here(&["bench", "bert", "--help"])),
    ("icl bench step --variant softmax", By("tests/commands.rs", &["bench", "step", "softmax"])),
    ("icl bless ID… --reason TEXT", By("tests/workspace/bless.rs", &["bless", "--reason"])),
];

/// Commands in code spans and in shell blocks of a document, `just icl` as `icl`.
fn documented(text: &str) -> BTreeSet<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).flat_map(|line| {
        let (line, _) = line.split_once(" #").unwrap_or((line, ""));
        line.split("&&").map(str::trim).collect::<Vec<_>>()
    });
    let outside: String = text.split("```").step_by(2).collect();
    let spans = outside.split('`').skip(1).step_by(2);
    let all = lines.chain(spans).map(|command| {
        command
            .strip_prefix("just icl")
            .map_or_else(|| command.to_owned(), |rest| format!("icl{rest}"))
    });
    all.filter(|command| command.starts_with("icl ") || command.starts_with("just ")).collect()
}

fn all() -> BTreeSet<String> {
    ["README.md", "ARTIFACT.md"].iter().flat_map(|document| documented(&read(document))).collect()
}

#[test]
fn every_command_of_the_program_is_run() {
    let documented = all();
    let of_program: Vec<&String> = documented.iter().filter(|c| c.starts_with("icl ")).collect();
    assert!(of_program.len() >= 12, "{of_program:?}");
    for command in of_program {
        assert!(COMMANDS.iter().any(|(known, _)| known == command), "`{command}`: no test runs it");
    }
    let dir = tempfile::tempdir().unwrap();
    for (command, way) in COMMANDS {
        assert!(documented.contains(command), "`{command}`: no document shows it");
        match way {
            By(file, words) => {
                let text = read(&format!("crates/experiments/{file}"));
                let missing = words.iter().find(|word| !text.contains(&format!("\"{word}\"")));
                assert!(missing.is_none(), "`{command}`: {file} has no {missing:?}");
            }
            Here(arguments) => {
                let mut icl = Command::new(env!("CARGO_BIN_EXE_icl"));
                icl.current_dir(root());
                for argument in arguments {
                    match *argument {
                        "OUT" => icl.arg(dir.path()),
                        argument => icl.arg(argument),
                    };
                }
                let output = icl.output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "`{command}`: {error}");
                assert!(!output.stdout.is_empty(), "`{command}` says nothing");
            }
        }
    }
}

#[test]
fn every_recipe_exists_and_takes_the_arguments_shown() {
    let justfile = read("justfile");
    let recipe = |name: &str| {
        justfile.lines().find(|line| {
            let head = line.split(':').next().unwrap_or("");
            !line.starts_with([' ', '#']) && head.split(' ').next() == Some(name)
        })
    };
    let documented = all();
    let recipes: Vec<&str> = documented.iter().filter_map(|c| c.strip_prefix("just ")).collect();
    assert!(recipes.len() >= 10, "{recipes:?}");
    for command in recipes {
        let (set, mut words): (Vec<&str>, _) = {
            let words: Vec<&str> = command.split_whitespace().collect();
            let n = words.iter().take_while(|word| word.contains('=')).count();
            (words[..n].to_vec(), words.into_iter().skip(n))
        };
        for variable in set {
            let name = variable.split('=').next().unwrap();
            assert!(justfile.contains(&format!("{name} := ")), "`just {command}`: no `{name}`");
        }
        let name = words.next().unwrap();
        let line = recipe(name).unwrap_or_else(|| panic!("`just {command}`: no such recipe"));
        let takes = line.split(':').next().unwrap().split_whitespace().skip(1).count();
        let any = line.contains(" *");
        assert!(any || words.count() <= takes, "`just {command}`: `{line}` takes {takes}");
    }
}
