//! `icl lens --model DIR --text FILE` from outside, on a small random model with a vocabulary of its own.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests write, remove and damage files")]

use safetensors::SafeTensors;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Three layers of three heads of size 12, 24 positions, 40 word pieces.
const MODEL: &str = "../icl-model/tests/bert/score";
const WORDS: [&str; 8] = ["a", "cat", "dog", "sat", "ran", "far", "away", "##ly"];

/// A folder with the model, its vocabulary and a text.
fn folder(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(MODEL);
    fs::create_dir(dir.path().join("model")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(from.join(name), dir.path().join("model").join(name)).unwrap();
    }
    let mut pieces: Vec<String> =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
    pieces.extend(WORDS.map(str::to_owned));
    pieces.extend((pieces.len()..40).map(|i| format!("word{i}")));
    fs::write(dir.path().join("model/vocab.txt"), pieces.join("\n") + "\n").unwrap();
    fs::write(dir.path().join("text"), text).unwrap();
    dir
}

struct Run {
    code: i32,
    text: String,
    error: String,
}

impl Run {
    fn record(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}{}", self.text, self.error))
    }
}

fn lens(dir: &Path, flags: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
    command.current_dir(dir).args(["lens", "--model", "model", "--text", "text"]).args(flags);
    run(&mut command)
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        code: output.status.code().unwrap(),
        text: text(&output.stdout),
        error: text(&output.stderr),
    }
}

const TEXT: &str = "a cat sat\n\na dog ran far away\tthe cat ran\nslowly\n";

#[test]
fn every_head_is_reported_and_holds_in_both_precisions() {
    let dir = folder(TEXT);
    for (dtype, most) in [("f64", 1e-12), ("f32", 1e-4)] {
        let flags = ["--dtype", dtype, "--json", "--out", "out"];
        let run = lens(dir.path(), &flags);
        assert_eq!(run.code, 0, "{}{}", run.text, run.error);
        assert!(run.error.contains("text: blank lines passed over: 1"), "{}", run.error);
        let record = run.record();
        assert_eq!((&record["holds"], &record["sequences"]), (&true.into(), &3.into()));
        // [CLS] and [SEP] in each, and one more [SEP] in the pair
        assert_eq!((&record["tokens"], &record["dtype"]), (&(5 + 11 + 3).into(), &dtype.into()));
        assert_eq!(record["model"]["files"].as_object().unwrap().len(), 3);
        let digest = artifact::digest::sha256(TEXT.as_bytes());
        assert_eq!(record["text"]["sha256"], digest.as_str());
        assert_eq!(record["text"]["longest"], 24);
        let heads = record["heads"].as_array().unwrap();
        assert_eq!(heads.len(), 9);
        for head in heads {
            let number = |name: &str| head[name].as_f64().unwrap();
            assert!(number("largest_relative_difference") <= most, "{head}");
            assert!(number("largest_relative_difference") <= number("bound"), "{head}");
            assert!(number("share") > 0.0 && number("mean_z") > 0.0, "{head}");
        }
        let bytes = fs::read(dir.path().join("out")).unwrap();
        let arrays = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(arrays.len(), 1 + 3 * 3);
        assert_eq!(arrays.tensor("attention_mask").unwrap().shape(), [3, 11]);
        for l in 0..3 {
            let shape =
                |what: &str| arrays.tensor(&format!("layer_{l}.{what}")).unwrap().shape().to_vec();
            assert_eq!(shape("input"), [3, 11, 36]);
            assert_eq!(
                (shape("attention"), shape("dual")),
                (vec![3, 3, 11, 12], vec![3, 3, 11, 12])
            );
        }
    }
}

#[test]
fn the_table_has_a_row_for_every_head_and_fits_into_eighty_columns() {
    let dir = folder(TEXT);
    let one = lens(dir.path(), &["--threads", "1"]);
    assert_eq!((one.code, &one.text), (0, &lens(dir.path(), &["--threads", "3"]).text));
    assert!(one.text.lines().all(|line| line.chars().count() <= 80), "{}", one.text);
    let row = |line: &&str| line.split_whitespace().next().is_some_and(|x| x.parse::<u8>().is_ok());
    // the first line counts layers
    assert_eq!(one.text.lines().skip(1).filter(row).count(), 9, "{}", one.text);
    assert!(one.text.starts_with("3 layers of 3 heads of size 12; 3 sentences, 19 tokens; f64"));
    assert!(one.text.contains(": kept"), "{}", one.text);
}

#[test]
fn sentences_that_are_too_long_are_cut_and_said() {
    let long = "a cat ran ".repeat(40);
    let dir = folder(&format!("a cat\n{long}\ta dog\nfar away\n{long}\n"));
    let run = lens(dir.path(), &["--longest", "16", "--json"]);
    assert_eq!(run.code, 0, "{}", run.error);
    let said = "text: longer than 16 word pieces and cut: line 2, 4";
    assert!(run.error.contains(said), "{}", run.error);
    let record = run.record();
    assert_eq!(record["text"]["cut_lines"], serde_json::json!([2, 4]));
    assert_eq!(record["tokens"], 4 + 16 + 4 + 16);
}

/// The header of a safetensors file says where a tensor lies; its first number becomes NaN or another.
fn overwrite(path: &PathBuf, name: &str, number: f32) {
    let mut bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = 8 + length + header[name]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 4].copy_from_slice(&number.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn numbers_that_overflow_fail_the_run() {
    let dir = folder(TEXT);
    let weights = dir.path().join("model/model.safetensors");
    // queries and keys of 3e38 overflow logits in f32, not in f64
    for side in ["query", "key"] {
        overwrite(&weights, &format!("bert.encoder.layer.1.attention.self.{side}.bias"), 3e38);
    }
    let run = lens(dir.path(), &["--dtype", "f32", "--json"]);
    assert_eq!(run.code, 1, "{}{}", run.text, run.error);
    let record = run.record();
    assert_eq!((&record["holds"], &record["heads"][0]["holds"]), (&false.into(), &true.into()));
    assert_eq!(record["heads"][3]["holds"], false);
    assert!(record["largest_relative_difference"].is_null());
    let run = lens(dir.path(), &["--dtype", "f32"]);
    assert!(run.code == 1 && run.text.contains("layer 1 head 0") && run.text.contains("not kept"));
}

#[test]
fn broken_inputs_end_with_two_and_say_what_is_wrong() {
    let refused = |dir: &TempDir, flags: &[&str], parts: &[&str]| {
        let run = lens(dir.path(), flags);
        assert_eq!((run.code, run.text.as_str()), (2, ""), "{}", run.error);
        assert!(parts.iter().all(|part| run.error.contains(part)), "{parts:?}: {}", run.error);
    };
    for (text, parts) in [
        ("", ["text: found no sentence", "expected at least one line"]),
        ("\n \t\n", ["text: found no sentence", "expected at least one line"]),
        ("a\nb\tc\td\n", ["text: line 2: found 3 parts", "one tab between"]),
        ("a\t\n", ["text: line 1: found a tab beside nothing", "correct the line"]),
    ] {
        refused(&folder(text), &[], &parts);
    }
    refused(&folder(&"a\n".repeat(1025)), &[], &["line 1025", "more than 1024 sentences"]);
    refused(&folder(TEXT), &["--longest", "25"], &["--longest: found 25", "at most 24"]);
    for (name, parts) in [
        ("config.json", ["config.json: file", "expected"]),
        ("model.safetensors", ["model: weights: found none", "model.safetensors"]),
        ("vocab.txt", ["model: tokenizer: found neither", "vocab.txt"]),
    ] {
        let dir = folder(TEXT);
        fs::remove_file(dir.path().join("model").join(name)).unwrap();
        refused(&dir, &[], &parts);
    }
    let dir = folder(TEXT);
    fs::remove_file(dir.path().join("text")).unwrap();
    refused(&dir, &[], &["text: cannot read"]);
    let dir = folder(TEXT);
    overwrite(
        &dir.path().join("model/model.safetensors"),
        "bert.embeddings.LayerNorm.weight",
        f32::NAN,
    );
    refused(&dir, &[], &["embeddings.LayerNorm.weight", "finite numbers"]);
    // word pieces that the model does not have
    let dir = folder("extra\n");
    let vocabulary = dir.path().join("model/vocab.txt");
    let pieces = fs::read_to_string(&vocabulary).unwrap() + "extra\n";
    fs::write(vocabulary, pieces).unwrap();
    refused(&dir, &[], &["model: ", "`word pieces`: found 40", "less than 40"]);
}

#[test]
fn flags_of_a_layer_and_of_a_model_exclude_each_other() {
    let dir = folder(TEXT);
    for flags in [
        &["--tokens", "x", "--weights", "w"][..],
        &["--layout", "linear"],
        &["--heads", "2"],
        &["--mask", "none"],
        &["--feature-map", "exact"],
        &["--d-r", "8"],
        &["--seed", "1"],
        &["--rotary", "100"],
        &["--demos", "1"],
        &["--contributions", "--out", "x"],
    ] {
        let run = lens(dir.path(), flags);
        assert_eq!(run.code, 2, "{flags:?}");
        let named = format!("'{}", flags[0]);
        assert!(
            run.error.contains(&named) && run.error.contains("cannot be used"),
            "{}",
            run.error
        );
    }
    for (flags, part) in [
        (&[][..], "--tokens <FILE>"),
        (&["--model", "m"], "--text <FILE>"),
        (&["--text", "t"], "--model <DIR>"),
        (&["--tokens", "x"], "--weights <FILE>"),
        (&["--tokens", "x", "--weights", "w", "--longest", "9"], "cannot be used"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
        let run = run(command.arg("lens").args(flags));
        assert!(run.code == 2 && run.error.contains(part), "{flags:?}: {}", run.error);
    }
}
