//! Cells: the units of work, pure functions of their specification.

use crate::lock::Attempt;
use crate::store::{self, Lookup, Store};
use crate::table::{Schema, Table};
use crate::{ArtifactError, Class};
use rayon::prelude::*;
use serde_json::Value;
use std::time::Duration;

/// Pause between looks at a cell that another process computes.
const PAUSE: Duration = Duration::from_millis(100);

/// Any error of a computation.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;

/// A computation with a content key.
pub struct Cell {
    /// Everything the result depends on, besides class and source code.
    pub specification: Value,
    /// What is promised of the result's bits.
    pub class: Class,
    /// Name for progress and messages.
    pub label: String,
    /// Relative cost, for the order of work and the estimate of time.
    pub weight: f64,
    /// Columns of the result.
    pub schema: Schema,
    /// The computation.
    pub compute: Box<dyn Fn() -> Result<Table, CellError> + Send + Sync>,
}

impl Cell {
    /// SHA-256 over the canonical specification, the class, and the digest of the source that can change numbers.
    pub fn key(&self, source_digest: &str) -> String {
        store::key(self.class, source_digest, &self.specification)
    }
}

/// Where a result came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Computed now.
    Computed,
    /// Read from the store.
    Restored,
}

/// A cell's result.
#[derive(Debug, Clone)]
pub struct CellResult {
    /// The cell's key.
    pub key: String,
    /// The result.
    pub table: Table,
    /// SHA-256 of its CSV.
    pub sha256: String,
    /// Where it came from.
    pub origin: Origin,
}

/// A cell that failed; the others go on.
#[derive(Debug, thiserror::Error)]
#[error("cell {label}: {message}")]
pub struct CellFailure {
    /// The cell's label.
    pub label: String,
    /// Why.
    pub message: String,
}

/// Watches a run; methods may be called from several threads.
pub trait Observer: Sync {
    /// Before the work: number of cells and total weight that have to be computed.
    fn planned(&self, restored: usize, missing: usize, weight: f64);
    /// Work on cell `i` begins.
    fn started(&self, i: usize);
    /// Cell `i` is done.
    fn finished(&self, i: usize, cell: &Cell);
    /// Something worth a line, such as a damaged entry of the store.
    fn note(&self, text: &str);
}

/// How to run cells.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Threads.
    pub jobs: usize,
    /// Compute everything anew.
    pub fresh: bool,
    /// Compute only part `k` of `n` (from 1) of the missing cells.
    pub shard: Option<(usize, usize)>,
}

/// Runs cells: restores what the store holds, computes the rest in parallel, stores each result at
/// once. Results stand in the order of `cells`; a cell outside the shard that is not in the store is
/// `None`.
///
/// # Errors
/// [`ArtifactError`] if the store cannot be used; failures of cells are in the list.
#[allow(clippy::type_complexity, reason = "one list, one entry per cell")]
pub fn run(
    cells: &[Cell],
    source_digest: &str,
    store: &Store,
    options: RunOptions,
    observer: &dyn Observer,
) -> Result<Vec<Option<Result<CellResult, CellFailure>>>, ArtifactError> {
    let keys: Vec<String> = cells.iter().map(|cell| cell.key(source_digest)).collect();
    let mut results: Vec<Option<Result<CellResult, CellFailure>>> = Vec::new();
    for (cell, key) in cells.iter().zip(&keys) {
        results.push(if options.fresh {
            None
        } else {
            restore(cell, key, store, observer)?.map(Ok)
        });
    }
    let mut missing: Vec<usize> = (0..cells.len()).filter(|i| results[*i].is_none()).collect();
    if let Some((part, parts)) = options.shard {
        missing.retain(|i| i % parts == part - 1);
    }
    // heaviest first, so that no long cell is left for the end
    missing.sort_by(|a, b| cells[*b].weight.total_cmp(&cells[*a].weight).then(a.cmp(b)));
    let weight = missing.iter().map(|i| cells[*i].weight).sum();
    observer.planned(results.iter().flatten().count(), missing.len(), weight);
    let work = Work { cells, keys: &keys, source_digest, store, fresh: options.fresh, observer };
    let pool = pool(options.jobs)?;
    let mut waiting = false;
    while !missing.is_empty() {
        let attempts: Vec<_> = pool.install(|| {
            missing.par_iter().with_max_len(1).map(|i| (*i, work.attempt(*i))).collect()
        });
        let before = missing.len();
        missing.clear();
        for (i, attempted) in attempts {
            match attempted? {
                Some(result) => results[i] = Some(result),
                None => missing.push(i),
            }
        }
        if !waiting && !missing.is_empty() {
            waiting = true;
            let n = missing.len();
            observer.note(&format!("{n} cells are in work in other processes; waiting for them"));
        }
        // for a result, or for the end of the process that has it in work. Never inside the pool: a worker
        // that waits there for one cell may hold the lease of another further down its stack
        if missing.len() == before {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(results)
}

/// What all cells of a run have in common.
struct Work<'a> {
    cells: &'a [Cell],
    keys: &'a [String],
    source_digest: &'a str,
    store: &'a Store,
    fresh: bool,
    observer: &'a dyn Observer,
}

/// A cell's end; none while another process computes it.
type Attempted = Result<Option<Result<CellResult, CellFailure>>, ArtifactError>;

impl Work<'_> {
    /// Computes cell `i`, unless another process has it in work or has just stored it.
    fn attempt(&self, i: usize) -> Attempted {
        if self.fresh {
            return self.compute(i).map(Some);
        }
        let lease = self.store.lease(&self.keys[i])?;
        if matches!(lease, Attempt::Busy) {
            return Ok(None);
        }
        match restore(&self.cells[i], &self.keys[i], self.store, self.observer)? {
            Some(result) => {
                self.observer.finished(i, &self.cells[i]);
                Ok(Some(Ok(result)))
            }
            None => self.compute(i).map(Some),
        }
    }

    /// Computes and stores one cell. The outer error is the store's and ends the run.
    fn compute(&self, i: usize) -> Result<Result<CellResult, CellFailure>, ArtifactError> {
        let cell = &self.cells[i];
        self.observer.started(i);
        let result = match checked(cell) {
            Ok(table) => {
                let Cell { class, specification, .. } = cell;
                let sha256 = self.store.put(*class, self.source_digest, specification, &table)?;
                let (key, origin) = (self.keys[i].clone(), Origin::Computed);
                Ok(CellResult { key, table, sha256, origin })
            }
            Err(message) => Err(CellFailure { label: cell.label.clone(), message }),
        };
        self.observer.finished(i, cell);
        Ok(result)
    }
}

/// The cell's result, if it has the columns that the cell declares.
fn checked(cell: &Cell) -> Result<Table, String> {
    let table = (cell.compute)().map_err(|error| error.to_string())?;
    if table.schema() == cell.schema {
        Ok(table)
    } else {
        Err(format!("found columns {:?}, expected {:?}", table.schema(), cell.schema))
    }
}

fn pool(jobs: usize) -> Result<rayon::ThreadPool, ArtifactError> {
    rayon::ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|error| {
        ArtifactError::table("threads", "pool", error.to_string(), "a pool; try fewer `--jobs`")
    })
}

fn restore(
    cell: &Cell,
    key: &str,
    store: &Store,
    observer: &dyn Observer,
) -> Result<Option<CellResult>, ArtifactError> {
    Ok(match store.get(key, &cell.schema)? {
        Lookup::Hit(table, sha256) => Some(CellResult {
            key: key.to_owned(),
            table: table.named(&cell.label),
            sha256,
            origin: Origin::Restored,
        }),
        Lookup::Miss => None,
        Lookup::Damaged(finding) => {
            let Cell { label, .. } = cell;
            observer.note(&format!("{label}: {}: {finding}; it is computed again", finding.file));
            None
        }
    })
}
