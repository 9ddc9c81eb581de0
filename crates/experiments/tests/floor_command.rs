//! `icl floor` from outside.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use assert_cmd::Command;
use serde_json::Value;

/// Runs `icl floor` and returns exit code, stdout and stderr.
fn floor(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_icl"));
    let output = command.arg("floor").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

const SMALL: [&str; 6] = ["--n", "3", "--d-t", "2", "--prompts", "2000"];

#[test]
fn json_has_both_branches_and_their_numbers() {
    let more = ["--negative", "beta=0.5,m=1", "--half-width", "0.5", "--seed", "7", "--json"];
    let (code, text, error) = floor(&[&SMALL[..], &more].concat());
    assert_eq!(code, 0, "{error}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let settings = ["n", "d_t", "heads", "query", "half_width", "prompts", "seed"];
    let settings: Vec<Value> = settings.iter().map(|key| found[key].clone()).collect();
    assert_eq!(Value::from(settings).to_string(), r#"[3,2,1,"in",0.5,2048,7]"#);
    assert_eq!(found["negative"], serde_json::json!({ "m": 1, "beta": 0.5 }));
    let branches = found["branches"].as_array().unwrap();
    for (branch, (name, sign)) in branches.iter().zip([("aligned", 1.0), ("opposed", -1.0)]) {
        let number = |key: &str| branch[key].as_f64().unwrap();
        assert_eq!(branch["branch"], name);
        assert!(number("nmse") > 0.0 && number("nmse") < 1.0, "{branch}");
        assert!(number("standard_error") > 0.0, "{branch}");
        assert!(number("c") * sign > 0.0 && number("beta") * sign > 0.0, "{branch}");
        assert!(number("query_mass") > 0.0 && number("query_mass") < 1.0, "{branch}");
    }
    let losses: Vec<f64> = branches.iter().map(|b| b["nmse"].as_f64().unwrap()).collect();
    let lowest = if losses[0] < losses[1] { losses[0] } else { losses[1] };
    assert_eq!((losses.len(), found["floor"].as_f64()), (2, Some(lowest)));
}

#[test]
fn two_heads_have_lists_and_the_query_outside_no_mass() {
    let more = ["--heads", "2", "--query", "out", "--json"];
    let (code, text, error) = floor(&[&SMALL[..], &more].concat());
    assert_eq!(code, 0, "{error}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let branches = found["branches"].as_array().unwrap();
    let names: Vec<&str> = branches.iter().map(|b| b["branch"].as_str().unwrap()).collect();
    assert_eq!(names, ["aligned", "opposed", "equal", "unequal"]);
    for branch in branches {
        assert_eq!(branch["c"].as_array().unwrap().len(), 2, "{branch}");
        assert_eq!(branch["query_mass"], serde_json::json!([0.0, 0.0]));
    }
    let [c, beta] = ["c", "beta"].map(|key| &branches[2][key]);
    assert_eq!(c[0].as_f64().unwrap(), -c[1].as_f64().unwrap());
    assert_eq!(beta[0].as_f64().unwrap(), -beta[1].as_f64().unwrap());
    assert!(found["negative"].is_null());
}

#[test]
fn text_fits_eighty_columns_and_help_says_what_beta_is() {
    for more in [&["--negative", "m=1,beta=0.25"][..], &["--heads", "2"]] {
        let (code, text, error) = floor(&[&SMALL[..], more].concat());
        assert_eq!(code, 0, "{error}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in ["aligned", "opposed", "beta", "floor", "query mass", "2048 prompts"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let (code, help, _) = floor(&["--help"]);
    assert!(code == 0 && help.contains("scores beta x_i . x_q"), "{help}");
}

#[test]
fn what_is_out_of_range_is_refused_with_code_two() {
    let cases: [(&[&str], &[&str]); 16] = [
        (&["--d-t", "2"], &["--n"]),
        (&["--n", "0", "--d-t", "2"], &["--n: found 0", "expected 1 to 1024"]),
        (&["--n", "-3", "--d-t", "2"], &["-3"]),
        (&["--n", "2000", "--d-t", "2"], &["--n: found 2000", "1024"]),
        (&["--n", "3", "--d-t", "0"], &["--d-t: found 0", "128"]),
        (&["--n", "3", "--d-t", "2", "--heads", "3"], &["--heads: found 3", "1 or 2"]),
        (&["--n", "3", "--d-t", "2", "--query", "maybe"], &["maybe", "out"]),
        (&["--n", "3", "--d-t", "2", "--half-width", "NaN"], &["--half-width: found NaN"]),
        (&["--n", "3", "--d-t", "2", "--half-width", "inf"], &["--half-width: found inf"]),
        (&["--n", "3", "--d-t", "2", "--half-width=-1"], &["--half-width: found -1"]),
        (&["--n", "3", "--d-t", "2", "--prompts", "5"], &["--prompts: found 5", "1024"]),
        (&["--n", "3", "--d-t", "2", "--negative", "m=3,beta=1"], &["--negative m: found 3"]),
        (&["--n", "3", "--d-t", "2", "--negative", "m=0,beta=1"], &["--negative m: found 0"]),
        (
            &["--n", "3", "--d-t", "2", "--negative", "m=1,beta=nan"],
            &["--negative beta: found NaN"],
        ),
        (&["--n", "3", "--d-t", "2", "--negative", "m=1"], &["m=1", "m=M,beta=B"]),
        (&["--n", "3", "--d-t", "2", "--negative", "m=1,beta=1,m=2"], &["m=M,beta=B"]),
    ];
    for (arguments, parts) in cases {
        let (code, text, error) = floor(arguments);
        assert_eq!((code, text.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
    }
}
