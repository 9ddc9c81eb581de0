//! Makers of cells that several items plan: training runs of a layer or a stack, and equivalence curves.

mod base_layer;
pub(crate) mod equivalence;
mod kept;
pub(crate) mod orders;
pub(crate) mod references;
pub(crate) mod training;
pub(crate) mod transformer;

pub(crate) use base_layer::BaseLayer;
pub(crate) use kept::Kept;

use crate::gpu;
use icl_model::device::Device;
use icl_model::machine::Machine;
use icl_model::settings::{RunSettings, TrainSettings, Watched};
use icl_numerics::threads::Threads;

/// A layer's run that is looked at every so many steps and at its end.
pub(crate) fn watched(train: TrainSettings, every: usize) -> Watched {
    let at = (0..train.steps).step_by(every.max(1)).chain([train.steps]).collect();
    Watched { run: RunSettings::Layer(train), at }
}

/// The machine of a cell: it runs on a thread of the run's pool, and shares that with the other cells; what a GPU has
/// trained ahead is there.
pub(crate) fn machine(device: Device) -> Machine {
    Machine { elsewhere: gpu::elsewhere(), ..Machine::new(device, Threads::Callers) }
}
