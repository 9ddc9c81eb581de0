//! Cells: the units of work, pure functions of their specification.
//!
//! A cell has a name in its plan and a content key. [`run`] restores what the store holds and computes the rest;
//! a cell that takes long says through its [`Context`] how far it is and saves what it needs to go on. Outputs
//! are assembled from [`Results`] by name.

mod context;
mod results;
mod run;

pub use context::{Checkpoint, Context};
pub use results::{Results, doubled_name};
pub use run::run;

use crate::Class;
use crate::store;
use crate::table::{Schema, Table};
use serde_json::Value;

/// Any error of a computation.
pub type CellError = Box<dyn std::error::Error + Send + Sync>;

/// The computation of a cell.
pub type Compute = Box<dyn Fn(&Context<'_>) -> Result<Table, CellError> + Send + Sync>;

/// A computation with a content key.
pub struct Cell {
    /// Name in its plan, unique there; stands in progress and messages. Parts are joined by `/`.
    pub name: String,
    /// Everything the result depends on, besides class and source code.
    pub specification: Value,
    /// What is promised of the result's bits.
    pub class: Class,
    /// Relative cost, for the order of work and the estimate of time.
    pub weight: f64,
    /// Columns of the result.
    pub schema: Schema,
    /// The computation.
    pub compute: Compute,
}

impl Cell {
    /// A cell of exact numbers.
    pub fn new<E: Into<CellError>>(
        name: impl Into<String>,
        weight: f64,
        specification: Value,
        schema: Schema,
        compute: impl Fn(&Context<'_>) -> Result<Table, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            specification,
            class: Class::Exact,
            weight,
            schema,
            compute: Box::new(move |context| compute(context).map_err(Into::into)),
        }
    }

    /// The same with numbers of another class.
    #[must_use]
    pub fn of_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

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
#[error("cell {name}: {message}")]
pub struct CellFailure {
    /// The cell's name.
    pub name: String,
    /// Why.
    pub message: String,
}

/// What became of a cell: its result, or why it failed; none of one that is left to another part of the run.
pub type CellOutcome = Option<Result<CellResult, CellFailure>>;

/// Watches a run; methods may be called from several threads. `i` is the cell's place among those of the run.
pub trait Observer: Sync {
    /// Before the work: number of cells and total weight that have to be computed.
    fn planned(&self, restored: usize, missing: usize, weight: f64);
    /// Work on a cell begins.
    fn started(&self, i: usize, cell: &Cell);
    /// A share of a cell, 0 to 1, is done.
    fn advanced(&self, i: usize, cell: &Cell, share: f64);
    /// A cell is done.
    fn finished(&self, i: usize, cell: &Cell);
    /// Whether a cell should save now how far it is. This crate reads no clock: the caller of [`run`] decides.
    fn checkpoint_due(&self, i: usize) -> bool;
    /// A cell has saved how far it is.
    fn checkpoint_saved(&self, i: usize);
    /// Something worth a line, such as a damaged entry of the store.
    fn note(&self, text: &str);
}

/// How to run cells.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Threads.
    pub jobs: usize,
    /// Compute everything anew, from the beginning.
    pub fresh: bool,
    /// Compute only part `k` of `n` (from 1) of the missing cells.
    pub shard: Option<(usize, usize)>,
}
