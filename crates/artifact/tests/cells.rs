//! Running cells: what is computed, restored, divided, and what failures and other processes do to it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]
#![allow(clippy::disallowed_methods, reason = "tests damage files on purpose")]

use artifact::cell::{Cell, CellFailure, CellResult, Context, Observer, Origin, RunOptions, run};
use artifact::lock::Attempt;
use artifact::store::Store;
use artifact::table::{ColumnType, Table};
use icl_numerics::threads::Threads;
use serde_json::json;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const OPTIONS: RunOptions = RunOptions { jobs: 3, fresh: false, shard: None };

/// Remembers notes and shares; checkpoints are due as it says.
#[derive(Default)]
struct Watcher {
    due: bool,
    notes: Mutex<Vec<String>>,
    shares: Mutex<Vec<f64>>,
}

impl Observer for Watcher {
    fn planned(&self, _: usize, _: usize, _: f64) {}
    fn started(&self, _: usize, _: &Cell) {}
    fn advanced(&self, _: usize, _: &Cell, share: f64) {
        self.shares.lock().unwrap().push(share);
    }
    fn finished(&self, _: usize, _: &Cell) {}
    fn checkpoint_due(&self, _: usize) -> bool {
        self.due
    }
    fn checkpoint_saved(&self, _: usize) {}
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
}

type Outcome = Option<Result<CellResult, String>>;

/// Seven cells that count how often they are computed; cell `failing` fails.
fn cells(count: &Arc<AtomicUsize>, failing: Option<usize>) -> Vec<Cell> {
    let cell = |i: usize| {
        let count = count.clone();
        let schema = vec![("x".into(), ColumnType::Float)];
        let compute = move |_: &Context<'_>| {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            if failing == Some(i) {
                return Err("it diverged".to_owned());
            }
            let table = Table::builder("t").floats("x", vec![i as f64 + 0.5]).build();
            table.map_err(|error| error.to_string())
        };
        Cell::new(format!("cell {i}"), i as f64, json!({ "cell": i }), schema, compute)
    };
    (0..7).map(cell).collect()
}

fn watched(cells: &[Cell], dir: &Path, options: RunOptions, watcher: &Watcher) -> Vec<Outcome> {
    let store = Store::open(dir).unwrap();
    let results = run(cells, "source", &store, options, watcher).unwrap();
    let text = |result: Result<CellResult, CellFailure>| result.map_err(|f| f.to_string());
    results.into_iter().map(|result| result.map(text)).collect()
}

fn done(cells: &[Cell], dir: &Path, options: RunOptions) -> Vec<Outcome> {
    watched(cells, dir, options, &Watcher::default())
}

fn value(outcome: &Outcome) -> f64 {
    outcome.as_ref().unwrap().as_ref().unwrap().table.floats("x").unwrap()[0]
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = artifact::output::folder::entries(dir).unwrap();
    entries.into_iter().map(|entry| dir.join(entry.path)).collect()
}

#[test]
fn cells_are_computed_once_then_restored_and_again_if_asked_or_damaged() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    let cells = cells(&count, None);
    let values = |results: Vec<Outcome>| results.iter().map(value).collect::<Vec<f64>>();
    let want: Vec<f64> = (0..7).map(|i| f64::from(i) + 0.5).collect();
    assert_eq!(values(done(&cells, dir.path(), OPTIONS)), want);
    assert_eq!(values(done(&cells, dir.path(), OPTIONS)), want);
    assert_eq!(count.load(Ordering::SeqCst), 7);
    assert_eq!(files(dir.path()).len(), 14, "no lease or temporary file is left");
    done(&cells, dir.path(), RunOptions { fresh: true, ..OPTIONS });
    assert_eq!(count.load(Ordering::SeqCst), 14);
    let damaged = files(dir.path());
    for path in damaged.iter().take(2) {
        std::fs::write(path, "damaged").unwrap();
    }
    let watcher = Watcher::default();
    assert_eq!(values(watched(&cells, dir.path(), OPTIONS, &watcher)), want);
    assert_eq!(count.load(Ordering::SeqCst), 15, "both files of one entry");
    let notes = watcher.notes.into_inner().unwrap();
    let key = damaged[0].file_stem().unwrap().to_str().unwrap();
    assert!(notes[0].contains(key) && notes[0].contains("computed again"), "{notes:?}");
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
    let restored =
        |result: &Outcome| matches!(result, Some(Ok(CellResult { origin: Origin::Restored, .. })));
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

/// Steps of the long cell.
const STEPS: u64 = 1000;

/// A cell of a thousand steps that each depend on all before, as training's do. It counts the steps that it
/// does, saves when it is due, and dies before step `dies`.
fn long_cell(count: &Arc<AtomicUsize>, dies: Option<u64>) -> Cell {
    let count = count.clone();
    let schema = vec![("x".into(), ColumnType::Float)];
    Cell::new("long", 1.0, json!({ "kind": "long" }), schema, move |context| {
        let checkpoint = context.checkpoint("steps")?;
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let saved = checkpoint.load().unwrap_or_else(|| vec![0; 16]);
        let (mut step, mut state) = (number(&saved[..8]), f64::from_bits(number(&saved[8..])));
        while step < STEPS {
            if Some(step) == dies {
                return Err("killed".into());
            }
            state = (state + step as f64).sin();
            step += 1;
            count.fetch_add(1, Ordering::SeqCst);
            context.advance(step as f64 / STEPS as f64);
            if step % 50 == 0 && checkpoint.due() {
                let bytes = [step.to_le_bytes(), state.to_bits().to_le_bytes()].concat();
                checkpoint.save(&bytes)?;
            }
        }
        let table = Table::builder("t").floats("x", vec![state]).build()?;
        Ok::<_, artifact::cell::CellError>(table)
    })
}

/// The value of the long cell without any interruption.
fn undisturbed() -> f64 {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::default());
    value(&done(&[long_cell(&count, None)], dir.path(), OPTIONS)[0])
}

#[test]
fn a_long_cell_goes_on_from_its_checkpoint_with_the_same_bits() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let watcher = Watcher { due: true, ..Watcher::default() };
    let killed = watched(&[long_cell(&count, Some(779))], dir.path(), OPTIONS, &watcher);
    assert!(killed[0].as_ref().unwrap().is_err());
    assert_eq!(files(dir.path()).len(), 1, "the checkpoint alone");
    let store = Store::existing(dir.path()).unwrap();
    assert!(
        store.check(&Threads::One).findings.is_empty()
            && store.check(&Threads::One).notes.len() == 1
    );
    let resumed = watched(&[long_cell(&count, None)], dir.path(), OPTIONS, &watcher);
    assert_eq!(value(&resumed[0]).to_bits(), undisturbed().to_bits());
    // 29 steps were lost, of a thousand
    assert_eq!(count.load(Ordering::SeqCst), 1000 + 29);
    assert_eq!(files(dir.path()).len(), 2, "result and receipt");
    let shares = watcher.shares.into_inner().unwrap();
    assert!(shares[778] == 0.779 && shares[779] == 0.751 && shares.last() == Some(&1.0));
}

#[test]
fn a_short_cell_writes_no_checkpoint_and_a_damaged_one_is_ignored() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let never = Watcher::default();
    watched(&[long_cell(&count, Some(900))], dir.path(), OPTIONS, &never);
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    let always = Watcher { due: true, ..Watcher::default() };
    watched(&[long_cell(&count, Some(900))], dir.path(), OPTIONS, &always);
    let checkpoint = files(dir.path()).remove(0);
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    let findings = Store::existing(dir.path()).unwrap().check(&Threads::One).findings;
    let name = checkpoint.display().to_string();
    assert!(findings.len() == 1 && findings[0].file == name, "{findings:?}");
    count.store(0, Ordering::SeqCst);
    let results = watched(&[long_cell(&count, None)], dir.path(), OPTIONS, &always);
    assert_eq!(value(&results[0]).to_bits(), undisturbed().to_bits());
    assert_eq!(count.load(Ordering::SeqCst), 1000, "from the beginning");
    assert!(always.notes.lock().unwrap()[0].contains(&name));
    assert!(!checkpoint.exists());
}

#[test]
fn a_fresh_run_begins_at_the_beginning_and_a_result_removes_what_was_saved() {
    let (dir, count) = (tempfile::tempdir().unwrap(), Arc::new(AtomicUsize::new(0)));
    let watcher = Watcher { due: true, ..Watcher::default() };
    watched(&[long_cell(&count, Some(900))], dir.path(), OPTIONS, &watcher);
    count.store(0, Ordering::SeqCst);
    let fresh = RunOptions { fresh: true, ..OPTIONS };
    watched(&[long_cell(&count, None)], dir.path(), fresh, &watcher);
    assert_eq!(count.load(Ordering::SeqCst), 1000);
    assert_eq!(files(dir.path()).len(), 2);
    // as if the process had died between the result and the end of its checkpoint
    let result = files(dir.path()).remove(0);
    let left = result.with_extension("steps.checkpoint");
    std::fs::write(&left, "left").unwrap();
    done(&[long_cell(&count, None)], dir.path(), OPTIONS);
    assert!(!left.exists() && count.load(Ordering::SeqCst) == 1000);
}

#[test]
fn parts_of_a_cell_advance_the_whole() {
    let (dir, watcher) = (tempfile::tempdir().unwrap(), Watcher::default());
    let schema = vec![("x".into(), ColumnType::Float)];
    let cell = Cell::new("parts", 1.0, json!({ "kind": "parts" }), schema, |context| {
        context.part(0.0, 0.5).advance(0.5);
        context.part(0.5, 1.0).part(0.0, 0.5).advance(1.0);
        context.advance(7.0);
        let table = Table::builder("t").floats("x", vec![0.5]).build();
        Ok::<_, Infallible>(table.unwrap())
    });
    watched(&[cell], dir.path(), OPTIONS, &watcher);
    assert_eq!(watcher.shares.into_inner().unwrap(), [0.25, 0.75, 1.0]);
}
