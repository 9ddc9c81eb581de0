//! Items that read data and models of others: not run without them, and run on whatever stands in their place.

use super::{copied, icl};
use std::path::Path;

/// The table of few settings, one seed and one epoch, of a model in the folder `model`.
fn shortened(workspace: &Path) {
    let path = workspace.join("experiments/tab1-glue.toml");
    let mut table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut set = |name: &str, profile: &str, value: toml::Value| {
        table[name].as_table_mut().unwrap().insert(profile.into(), value);
    };
    let texts = |all: &[&str]| -> toml::Value { all.to_vec().into() };
    set("models", "table", texts(&["model"]));
    set("modifications", "table", texts(&["plain", "augmented:form=mlp,on=both,hidden=3"]));
    set("seeds", "value", 1.into());
    let each = |n: i64| -> toml::Value {
        let tasks = ["cola", "mrpc", "stsb", "rte"].map(|task| (task.to_owned(), n.into()));
        toml::Table::from_iter(tasks).into()
    };
    set("epochs", "value", each(1));
    set("batch", "value", each(8));
    set("longest", "value", 32.into());
    std::fs::write(path, table.to_string()).unwrap();
}

/// Cells computed and restored of an item, as a run prints them.
fn counts(text: &str, id: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{text}"));
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn what_is_absent_is_listed_as_not_run_and_a_paper_run_is_not_complete() {
    let dir = copied();
    let run = |items: &[&str], profile: &str| {
        icl(dir.path(), &[&["run", "--profile", profile][..], items].concat())
    };
    let (code, text) = run(&["fig1-dual-scheme", "tab1-glue"], "paper");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not run: tab1-glue") && text.contains("just fetch-models"), "{text}");
    assert!(text.contains("(as expected)"), "{text}");
    let (code, text) = run(&["tab1-glue"], "paper");
    assert!(code == Some(2) && text.contains("nothing was run"), "{text}");
    let (code, text) = run(&["tab1-glue"], "smoke");
    assert!(code == Some(2) && text.contains("found profile smoke"), "{text}");
    let (code, text) = icl(dir.path(), &["show", "tab1-glue"]);
    assert!(code == Some(0) && text.contains("not run"), "{text}");
    // a folder that is named has to be there
    let (code, text) = run(&["tab1-glue", "--data", "nowhere"], "paper");
    assert!(code == Some(2) && text.contains("--data nowhere"), "{text}");
    let (code, text) = icl(dir.path(), &["verify"]);
    assert!(code == Some(0) && text.contains("not run, and so not reproduced"), "{text}");
}

#[test]
fn the_table_follows_from_the_bytes_of_data_and_model() {
    let dir = copied();
    shortened(dir.path());
    let inputs = dir.path().join("inputs");
    let folder = inputs.to_str().unwrap();
    let sizes = ["--train", "40", "--dev", "20", "--documents", "32", "--epochs", "1"];
    let (code, text) =
        icl(dir.path(), &[&["glue", "grammar", "--out", folder][..], &sizes].concat());
    assert_eq!(code, Some(0), "{text}");
    let run = || {
        let named = ["--data", folder, "--models", folder, "--profile", "table"];
        let (code, text) = icl(dir.path(), &[&["run", "tab1-glue"][..], &named].concat());
        assert_eq!(code, Some(0), "{text}");
        counts(&text, "tab1-glue")
    };
    // four tasks: floors, and two settings of one seed
    assert_eq!(run(), "12+0");
    let file = |name: &str| {
        let path = dir.path().join("out/table/data/tab1-glue").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let (table, read) = (file("table1.csv"), file("inputs.csv"));
    for row in ["plain", "augmented", "global best", "majority", "overlap features"] {
        assert!(table.contains(&format!(",{row},")), "{row}: {table}");
    }
    assert!(read.contains("not a known copy of GLUE") && read.contains("BERT 2/64 (model)"));
    assert_eq!(run(), "0+12");
    // one more row of training: another file, other cells of this task
    let train = inputs.join("RTE/train.tsv");
    let text = std::fs::read_to_string(&train).unwrap();
    let last = text.trim_end().rsplit('\n').next().unwrap().to_owned();
    std::fs::write(&train, format!("{}\n{last}\n", text.trim_end())).unwrap();
    assert_eq!(run(), "3+9");
    let (code, text) = icl(dir.path(), &["verify"]);
    assert!(code == Some(0) && text.contains("not made again"), "{text}");
}
