//! A settings file of a user's own: everything around it stays as it was.

use super::{copied, icl};
use std::path::Path;

/// Measured minutes of an item, as listed.
fn minutes(workspace: &Path, id: &str) -> Option<f64> {
    let (code, text) = icl(workspace, &["list", "--json", "--profile", "smoke"]);
    assert_eq!(code, Some(0), "{text}");
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let item = list.as_array().unwrap().iter().find(|item| item["id"] == id).unwrap().clone();
    assert!(["paper", "claim"].iter().all(|field| item[field].is_string()), "{item}");
    item["minutes"].as_f64()
}

#[test]
fn a_users_own_item_runs_is_blessed_and_makes_no_document_stale() {
    let dir = copied();
    let workspace = dir.path();
    let settings = workspace.join("experiments/fig3-linear.toml");
    let text = std::fs::read_to_string(settings).unwrap();
    // another number of demonstrations, so that nothing is the built-in item's
    let own = text.replacen("value = 15", "value = 14", 1);
    assert_ne!(own, text);
    std::fs::write(workspace.join("experiments/own.toml"), own).unwrap();
    let succeed = |arguments: &[&str]| {
        let (code, text) = icl(workspace, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {text}");
        text
    };
    assert_eq!(minutes(workspace, "own"), None);
    succeed(&["document", "--check"]);
    let level = || -> String {
        let text = succeed(&["run", "own", "fig1-dual-scheme", "--profile", "smoke"]);
        assert!(text.contains("(as expected)"), "{text}");
        let line = text.lines().find(|line| line.starts_with("own ")).unwrap().to_owned();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(level(), "integrity");
    succeed(&["verify"]);
    succeed(&["bless", "own", "--profile", "smoke", "--reason", "an item of my own"]);
    assert_eq!(level(), "bits");
    assert!(minutes(workspace, "own").is_some());
    succeed(&["document", "--check"]);
    succeed(&["show", "own", "--profile", "smoke"]);
}
