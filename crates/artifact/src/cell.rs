//! Cells: the units of work, pure functions of their specification.

use crate::digest::sha256;
use crate::store::Store;
use crate::table::{Schema, Table};
use crate::{ArtifactError, store::Lookup};
use rayon::prelude::*;
use serde_json::{Value, json};

/// Version of the key's format.
const KEY_VERSION: &str = "icl-cell/1";

/// Any error of a computation.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;

/// A computation with a content key.
pub struct Cell {
    /// Everything the result depends on, besides the source code.
    pub specification: Value,
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
    /// SHA-256 over the canonical specification and the digest of the source that can change numbers.
    pub fn key(&self, source_digest: &str) -> String {
        // serde_json's map is sorted by key: equal values have equal text
        let key = json!([KEY_VERSION, source_digest, self.specification]);
        sha256(key.to_string().as_bytes())
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
    let compute = |i: &usize| {
        observer.started(*i);
        let result = compute(&cells[*i], &keys[*i], store);
        observer.finished(*i, &cells[*i]);
        (*i, result)
    };
    let computed: Vec<_> =
        pool(options.jobs)?.install(|| missing.par_iter().with_max_len(1).map(compute).collect());
    for (i, result) in computed {
        results[i] = Some(result?);
    }
    Ok(results)
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
        Lookup::Hit(table) => Some(CellResult {
            key: key.to_owned(),
            table: table.named(&cell.label),
            origin: Origin::Restored,
        }),
        Lookup::Miss => None,
        Lookup::Damaged(reason) => {
            observer.note(&format!("{}: {reason}; it is computed again", cell.label));
            None
        }
    })
}

/// Computes and stores one cell. The outer error is the store's and ends the run.
fn compute(
    cell: &Cell,
    key: &str,
    store: &Store,
) -> Result<Result<CellResult, CellFailure>, ArtifactError> {
    let failure = |message: String| Ok(Err(CellFailure { label: cell.label.clone(), message }));
    let table = match (cell.compute)() {
        Ok(table) => table,
        Err(error) => return failure(error.to_string()),
    };
    if table.schema() != cell.schema {
        let text = format!("found columns {:?}, expected {:?}", table.schema(), cell.schema);
        return failure(text);
    }
    store.put(key, &cell.specification, &table)?;
    Ok(Ok(CellResult { key: key.to_owned(), table, origin: Origin::Computed }))
}
