//! A program with CUDA.

use super::Ahead;
use super::trained::{TrainedRuns, settings_of};
use artifact::cell::Cell;
use icl_model::settings::RunSettings;

/// A GPU.
#[derive(Debug)]
pub(crate) struct Gpu {
    index: usize,
    gpu: icl_cuda::Gpu,
}

impl Gpu {
    /// The GPU of this index.
    pub(crate) fn open(index: usize) -> anyhow::Result<Self> {
        let gpu = icl_cuda::Gpu::new(index).map_err(|error| {
            anyhow::anyhow!(
                "--device: found cuda:{index}, expected a GPU with a driver: {error}; `icl doctor` says what is there"
            )
        })?;
        Ok(Self { index, gpu })
    }

    /// Trains all runs of these cells that blocks train, each once.
    pub(crate) fn train_ahead(&self, cells: &[&Cell]) -> anyhow::Result<Ahead> {
        let (covered, left): (Vec<_>, Vec<_>) = settings_of(cells)
            .into_iter()
            .partition(|settings| icl_cuda::reason_against(settings).is_none());
        let mut runs = TrainedRuns::default();
        let finished = icl_cuda::train(&self.gpu, &covered)?;
        for (settings, finished) in covered.iter().zip(finished) {
            // one that diverges is left to its cell, which says so
            if let Ok(finished) = finished {
                runs.keep(settings, finished);
            }
        }
        Ok(runs.install(left.len()))
    }

    /// Trains runs and drops them: their cost alone.
    pub(crate) fn train(&self, settings: &[RunSettings]) -> anyhow::Result<()> {
        for run in icl_cuda::train(&self.gpu, settings)? {
            run?;
        }
        Ok(())
    }

    /// The card in words.
    pub(crate) fn describe(&self) -> String {
        match self.gpu.card() {
            Ok(card) => format!("cuda:{} ({})", self.index, in_words(&card)),
            Err(error) => format!("cuda:{} ({error})", self.index),
        }
    }
}

fn in_words(card: &icl_cuda::Card) -> String {
    let (major, minor) = card.capability;
    format!("{}, compute capability {major}.{minor}, {:.0} GiB", card.name, gib(card.memory.1))
}

fn gib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// What `icl doctor` says of GPUs, and whether it is well; `found` is what the driver's own tool says.
pub(crate) fn doctor_line(found: Option<String>) -> (bool, String) {
    let tool = found.as_ref().map_or(String::new(), |found| format!("; nvidia-smi: {found}"));
    match icl_cuda::Gpu::new(0).and_then(|gpu| gpu.card()) {
        Ok(card) if card.capability.0 >= 8 => {
            (true, format!("{}, {:.0} GiB free{tool}", in_words(&card), gib(card.memory.0)))
        }
        Ok(card) => (
            false,
            format!("{}; kernels need compute capability 8.0 or more{tool}", in_words(&card)),
        ),
        Err(error) if found.is_some() => (false, format!("found, but {error}{tool}")),
        Err(error) => {
            (false, format!("none: {error}; use `--device cpu`, or install NVIDIA's driver"))
        }
    }
}
