//! `--device cuda`: the training runs of a run's cells are trained on a GPU, all at once and ahead of the cells.
//!
//! The kernels have the processor's bits (`icl_cuda`), so a cell takes a run that is there in place of its own training,
//! and test losses from the GPU; everything else is computed as ever, and results keep the class `exact`. A run is found by
//! all of its settings and by nothing else. What no block trains (BERT, prompts of other function classes) is computed on the
//! processor.

#[cfg(any(test, feature = "cuda"))]
mod ahead;
#[cfg(feature = "cuda")]
mod card;
#[cfg(not(feature = "cuda"))]
mod none;
#[cfg(any(test, feature = "cuda"))]
mod wanted;

#[cfg(feature = "cuda")]
pub(crate) use card::{Gpu, doctor_line};
#[cfg(not(feature = "cuda"))]
pub(crate) use none::{Gpu, doctor_line};

#[cfg(any(test, feature = "cuda"))]
pub(crate) use ahead::Ahead;

use artifact::cell::Cell;
use artifact::store::{Lookup, Store};
use icl_model::machine::Elsewhere;
use std::sync::{Arc, OnceLock};

/// The GPU of this process, with the runs that it has trained.
static ELSEWHERE: OnceLock<Arc<dyn Elsewhere>> = OnceLock::new();

/// Lets the cells of this process find a GPU, once.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn install(elsewhere: Arc<dyn Elsewhere>) {
    ELSEWHERE.get_or_init(|| elsewhere);
}

/// The GPU of this process, if it has one.
pub(crate) fn elsewhere() -> Option<Arc<dyn Elsewhere>> {
    ELSEWHERE.get().cloned()
}

/// How many training runs are whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Of the GPU.
    pub(crate) trained: usize,
    /// Of the cells, on the processor.
    pub(crate) left: usize,
}

/// The cells that a run has to compute: those that the store does not hold, or all.
pub(crate) fn missing<'a>(
    cells: &'a [Cell],
    source_digest: &str,
    store: &Store,
    fresh: bool,
) -> Vec<&'a Cell> {
    let held = |cell: &Cell| {
        let found = store.get(&cell.key(source_digest), &cell.schema);
        matches!(found, Ok(Lookup::Hit(..)))
    };
    cells.iter().filter(|cell| fresh || !held(cell)).collect()
}
