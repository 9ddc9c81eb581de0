//! What a run is computed on: a device, its threads, and runs that are already there.

use crate::device::Device;
use crate::settings::RunSettings;
use crate::trainer::Finished;
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use std::fmt;
use std::sync::Arc;

/// Runs that were trained elsewhere, to the bits of the processor's kernels.
pub trait Elsewhere: fmt::Debug + Send + Sync {
    /// The run of exactly these settings, if it is one of them.
    fn finished(&self, settings: &RunSettings) -> Option<Finished>;
}

/// A device, and the threads that keep it busy. Nothing of it changes a bit on a CPU.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where numbers are computed.
    pub device: Device,
    /// On which threads, chunk by chunk.
    pub threads: Threads,
    /// Runs that need not be trained again.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Machine {
    /// The run of exactly these settings, if it was trained elsewhere.
    pub(crate) fn finished(&self, settings: impl FnOnce() -> RunSettings) -> Option<Finished> {
        self.elsewhere.as_ref().and_then(|runs| runs.finished(&settings()))
    }

    /// A device and threads.
    #[must_use]
    pub fn new(device: Device, threads: Threads) -> Self {
        Self { device, threads, elsewhere: None }
    }

    /// The processor with this instruction set.
    #[must_use]
    pub fn cpu(isa: Isa, threads: Threads) -> Self {
        Self::new(Device::Cpu(isa), threads)
    }

    /// Instruction set of what the processor does.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.device.isa()
    }
}
