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
use icl_numerics::threads::Threads;

/// The machine of a cell: it runs on a thread of the run's pool, and shares that with the other cells; runs that a GPU
/// has trained ahead are there.
pub(crate) fn machine(device: Device) -> Machine {
    Machine { elsewhere: gpu::trained(), ..Machine::new(device, Threads::Callers) }
}
