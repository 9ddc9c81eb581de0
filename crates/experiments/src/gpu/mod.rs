//! `--device cuda`: the training runs of a run's cells are trained on a GPU, all at once and ahead of the cells.
//!
//! The kernels have the processor's bits (`icl_cuda`), so a cell takes a run that is there in place of its own training
//! and everything else is computed as ever; results keep the class `exact`. A run is found by all of its settings and
//! by nothing else. What no block trains (BERT, stacks of linear attention, trainings that are watched step by step) is
//! computed on the processor.

#[cfg(feature = "cuda")]
mod card;
#[cfg(not(feature = "cuda"))]
mod none;
mod trained;

#[cfg(feature = "cuda")]
pub(crate) use card::{Gpu, doctor_line};
#[cfg(not(feature = "cuda"))]
pub(crate) use none::{Gpu, doctor_line};
pub(crate) use trained::{Ahead, trained};

use artifact::cell::Cell;
use artifact::store::{Lookup, Store};

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
