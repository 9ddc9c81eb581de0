//! The whole way of the stand-in for GLUE by files: sets, text and a model, which is tuned and scored like any other.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests read files")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Exit code, standard output, standard error.
fn icl(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_icl")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn grammar(out: &Path, threads: &str) -> (Option<i32>, String, String) {
    let sizes = ["--train", "40", "--dev", "20", "--documents", "64", "--epochs", "2"];
    let out = out.to_str().unwrap();
    icl(&[&["glue", "grammar", "--json", "--threads", threads, "--out", out], &sizes[..]].concat())
}

#[test]
fn a_model_of_the_grammar_is_tuned_and_scored_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let (code, record, error) = grammar(&first, "1");
    assert_eq!(code, Some(0), "{error}");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["steps"], 8);
    assert_eq!(grammar(&second, "3").0, Some(0));
    let all = [
        "CoLA/train.tsv",
        "STS-B/dev.tsv",
        "text.txt",
        "model/vocab.txt",
        "model/model.safetensors",
    ];
    for file in all {
        let [a, b] = [&first, &second].map(|out| std::fs::read(out.join(file)).unwrap());
        assert!(a == b && !a.is_empty(), "{file}");
    }
    let (data, model) = (first.to_str().unwrap(), first.join("model"));
    let model = model.to_str().unwrap();
    for (task, metric) in [("cola", "matthews"), ("stsb", "pearson")] {
        let tuned = folder.path().join(task);
        let tuned = tuned.to_str().unwrap();
        let common =
            ["--data", data, "--task", task, "--json", "--modification", "negative:m=2,beta=0.5"];
        let train =
            ["glue", "train", "--model", model, "--out", tuned, "--epochs", "1", "--batch", "8"];
        let (code, record, error) = icl(&[&train[..], &common].concat());
        assert_eq!(code, Some(0), "{error}");
        assert!(error.contains("classifier.weight"), "{error}");
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(
            (&record["steps"], record["data"]["dev"]["rows"].as_u64()),
            (&5.into(), Some(20))
        );
        let (code, scored, error) =
            icl(&[&["glue", "eval", "--model", tuned][..], &common].concat());
        assert_eq!(code, Some(0), "{error}");
        let scored: Value = serde_json::from_str(&scored).unwrap();
        assert!(scored["metrics"][metric].is_number(), "{scored}");
        assert_eq!(scored["metrics"], record["metrics"]);
        assert_eq!((&scored["class"], &scored["device"]), (&"exact".into(), &"cpu".into()));
    }
    let eval = ["glue", "eval", "--model", model, "--data", data, "--task", "cola"];
    for (device, words) in [
        // no GPU has this number
        (["--device", "cuda:99"], ["--device: found cuda:99", "expected"]),
        (["--numbers", "bf16"], ["--numbers: found bf16", "--device cuda"]),
    ] {
        let (code, _, error) = icl(&[&eval[..], &device].concat());
        assert_eq!(code, Some(2), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let (code, _, error) = grammar(&first, "1");
    assert!(code == Some(2) && error.contains("does not exist"), "{error}");
}
