//! Running cells: what is computed, restored, divided, and what failures and other processes do to it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use artifact::Class;
use artifact::cell::{Cell, CellResult, Observer, Origin, RunOptions, run};
use artifact::lock::Attempt;
use artifact::store::Store;
use artifact::table::{ColumnType, Table};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const OPTIONS: RunOptions = RunOptions { jobs: 3, fresh: false, shard: None };

struct Silent;

impl Observer for Silent {
    fn planned(&self, _: usize, _: usize, _: f64) {}
    fn started(&self, _: usize) {}
    fn finished(&self, _: usize, _: &Cell) {}
    fn note(&self, _: &str) {}
}

/// Seven cells that count how often they are computed; cell `failing` fails.
fn cells(count: &Arc<AtomicUsize>, failing: Option<usize>) -> Vec<Cell> {
    let cell = |i: usize| {
        let count = count.clone();
        Cell {
            specification: json!({ "cell": i }),
            class: Class::Exact,
            label: format!("cell {i}"),
            weight: i as f64,
            schema: vec![("x".into(), ColumnType::Float)],
            compute: Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                if failing == Some(i) {
                    return Err("it diverged".into());
                }
                Ok(Table::builder("t").floats("x", vec![i as f64 + 0.5]).build()?)
            }),
        }
    };
    (0..7).map(cell).collect()
}

fn done(
    cells: &[Cell],
    dir: &Path,
    options: RunOptions,
) -> Vec<Option<Result<CellResult, String>>> {
    let store = Store::open(dir).unwrap();
    let results = run(cells, "source", &store, options, &Silent).unwrap();
    let text = |result: Result<CellResult, artifact::cell::CellFailure>| {
        result.map_err(|failure| failure.to_string())
    };
    results.into_iter().map(|result| result.map(text)).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = artifact::output::folder::entries(dir).unwrap();
    entries.into_iter().map(|entry| dir.join(entry.path)).collect()
}

#[test]
fn cells_are_computed_once_then_restored_and_again_if_asked_or_damaged() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    let cells = cells(&count, None);
    let values = |results: Vec<Option<Result<CellResult, String>>>| -> Vec<f64> {
        let value = |result: Option<Result<CellResult, String>>| {
            result.unwrap().unwrap().table.floats("x").unwrap()[0]
        };
        results.into_iter().map(value).collect()
    };
    let want: Vec<f64> = (0..7).map(|i| f64::from(i) + 0.5).collect();
    assert_eq!(values(done(&cells, dir.path(), OPTIONS)), want);
    assert_eq!(values(done(&cells, dir.path(), OPTIONS)), want);
    assert_eq!(count.load(Ordering::SeqCst), 7);
    assert_eq!(files(dir.path()).len(), 14, "no lease or temporary file is left");
    done(&cells, dir.path(), RunOptions { fresh: true, ..OPTIONS });
    assert_eq!(count.load(Ordering::SeqCst), 14);
    for path in files(dir.path()).iter().take(2) {
        std::fs::write(path, "damaged").unwrap();
    }
    assert_eq!(values(done(&cells, dir.path(), OPTIONS)), want);
    assert_eq!(count.load(Ordering::SeqCst), 15, "both files of one entry");
}

#[test]
fn parts_of_a_run_add_up() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    let cells = cells(&count, None);
    for part in 1..=3 {
        done(&cells, dir.path(), RunOptions { shard: Some((part, 3)), ..OPTIONS });
    }
    assert_eq!(count.load(Ordering::SeqCst), 7);
    let results = done(&cells, dir.path(), OPTIONS);
    let restored = |result: &Option<Result<CellResult, String>>| {
        matches!(result, Some(Ok(CellResult { origin: Origin::Restored, .. })))
    };
    assert!(results.iter().all(restored));
}

#[test]
fn a_failure_names_its_cell_and_stops_no_other() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    let results = done(&cells(&count, Some(3)), dir.path(), OPTIONS);
    let message = results[3].as_ref().unwrap().as_ref().unwrap_err();
    assert!(message.contains("cell 3") && message.contains("diverged"), "{message}");
    assert_eq!(results.iter().flatten().filter(|result| result.is_ok()).count(), 6);
    let mut other = cells(&count, None);
    other[0].schema = vec![("y".into(), ColumnType::Float)];
    let fresh = tempfile::tempdir().unwrap();
    let results = done(&other, fresh.path(), OPTIONS);
    assert!(results[0].as_ref().unwrap().as_ref().unwrap_err().contains("expected"));
}

#[test]
fn several_runs_on_one_store_share_the_work() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                let results = done(&cells(&count, None), dir.path(), OPTIONS);
                assert!(results.iter().all(|result| matches!(result, Some(Ok(_)))));
            });
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 7);
    assert_eq!(files(dir.path()).len(), 14);
}

#[test]
fn a_cell_of_a_process_that_ends_without_a_result_is_taken_over() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    let cells = cells(&count, None);
    let store = Store::open(dir.path()).unwrap();
    let Attempt::Taken(lease) = store.lease(&cells[2].key("source")).unwrap() else {
        panic!("free")
    };
    std::thread::scope(|scope| {
        let running = scope.spawn(|| done(&cells, dir.path(), OPTIONS));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!running.is_finished(), "it waits for the lease");
        drop(lease);
        assert!(running.join().unwrap().iter().all(|result| matches!(result, Some(Ok(_)))));
    });
}
