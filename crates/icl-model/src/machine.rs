//! What a run is computed on: a device, its threads, and another device that knows parts of it already.

use crate::device::Device;
use crate::settings::RunSettings;
use crate::trainer::Finished;
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use std::fmt;
use std::sync::Arc;

/// Another device with the bits of the processor's kernels.
pub trait Elsewhere: fmt::Debug + Send + Sync {
    /// The run of exactly these settings, if it was trained there.
    fn finished(&self, settings: &RunSettings) -> Option<Finished>;

    /// Losses of the first `n` test prompts of these settings under `parameters`, if they can be had there.
    fn test_losses(&self, settings: &RunSettings, parameters: &[f32], n: usize)
    -> Option<Vec<f64>>;
}

/// What another device knows of one run.
#[derive(Debug, Clone)]
pub struct KnownRun {
    elsewhere: Arc<dyn Elsewhere>,
    settings: RunSettings,
}

impl KnownRun {
    /// See [`Elsewhere::finished`].
    pub fn finished(&self) -> Option<Finished> {
        self.elsewhere.finished(&self.settings)
    }

    /// See [`Elsewhere::test_losses`].
    pub fn test_losses(&self, parameters: &[f32], n: usize) -> Option<Vec<f64>> {
        self.elsewhere.test_losses(&self.settings, parameters, n)
    }
}

/// A device, and the threads that keep it busy. Nothing of it changes a bit on a CPU.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where numbers are computed.
    pub device: Device,
    /// On which threads, chunk by chunk.
    pub threads: Threads,
    /// What need not be computed on the device and the threads.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Machine {
    /// What is known of a run, if anything can be.
    pub(crate) fn known(&self, settings: impl FnOnce() -> RunSettings) -> Option<KnownRun> {
        let elsewhere = self.elsewhere.clone()?;
        Some(KnownRun { elsewhere, settings: settings() })
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
