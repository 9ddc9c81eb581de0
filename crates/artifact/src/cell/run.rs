//! Running cells: restored or computed, each result stored at once.

use super::{
    Cell, CellFailure, CellOutcome, CellResult, Context, Observer, Origin, RunOptions, context,
};
use crate::ArtifactError;
use crate::lock::Attempt;
use crate::store::{Lookup, Store};
use crate::table::Table;
use rayon::prelude::*;
use std::time::Duration;

/// Pause between looks at a cell that another process computes.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs cells: restores what the store holds, computes the rest in parallel, stores each result at
/// once. Results stand in the order of `cells`; a cell outside the shard that is not in the store is
/// `None`.
///
/// # Errors
/// [`ArtifactError`] if the store cannot be used; failures of cells are in the list.
pub fn run(
    cells: &[Cell],
    source_digest: &str,
    store: &Store,
    options: RunOptions,
    observer: &dyn Observer,
) -> Result<Vec<CellOutcome>, ArtifactError> {
    let keys: Vec<String> = cells.iter().map(|cell| cell.key(source_digest)).collect();
    let mut results: Vec<CellOutcome> = Vec::new();
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
type Attempted = Result<CellOutcome, ArtifactError>;

impl Work<'_> {
    /// Computes cell `i`, unless another process has it in work or has just stored it.
    fn attempt(&self, i: usize) -> Attempted {
        // held until the end of this function
        let lease = self.store.lease(&self.keys[i])?;
        if self.fresh {
            // from the beginning, and whoever else computes it
            self.store.remove_checkpoints(&self.keys[i]);
            return self.compute(i).map(Some);
        }
        if matches!(lease, Attempt::Busy) {
            return Ok(None);
        }
        match restore(&self.cells[i], &self.keys[i], self.store, self.observer)? {
            Some(result) => {
                self.store.remove_checkpoints(&self.keys[i]);
                self.observer.finished(i, &self.cells[i]);
                Ok(Some(Ok(result)))
            }
            None => self.compute(i).map(Some),
        }
    }

    /// Computes and stores one cell. The outer error is the store's and ends the run.
    fn compute(&self, i: usize) -> Result<Result<CellResult, CellFailure>, ArtifactError> {
        let (cell, key) = (&self.cells[i], &self.keys[i]);
        self.observer.started(i, cell);
        let (store, observer) = (self.store, self.observer);
        let result = match checked(
            cell,
            Context::of(context::Work { cell, index: i, key, store, observer }),
        ) {
            Ok(table) => {
                let Cell { class, specification, .. } = cell;
                let sha256 = store.put(*class, self.source_digest, specification, &table)?;
                Ok(CellResult { key: key.clone(), table, sha256, origin: Origin::Computed })
            }
            Err(message) => Err(CellFailure { name: cell.name.clone(), message }),
        };
        observer.finished(i, cell);
        Ok(result)
    }
}

/// The cell's result, if it has the columns that the cell declares.
fn checked(cell: &Cell, context: Context<'_>) -> Result<Table, String> {
    let table = (cell.compute)(&context).map_err(|error| error.to_string())?;
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
            table: table.named(&cell.name),
            sha256,
            origin: Origin::Restored,
        }),
        Lookup::Miss => None,
        Lookup::Damaged(finding) => {
            let Cell { name, .. } = cell;
            observer.note(&format!("{name}: {}: {finding}; it is computed again", finding.file));
            None
        }
    })
}
