//! A program with CUDA.

use super::{Ahead, Counts, install};
use artifact::cell::Cell;
use icl_cuda::Covered;
use icl_model::settings::RunSettings;
use std::sync::Arc;

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

    /// Trains all runs of these cells that blocks train, each once, and stays at hand for their test losses.
    pub(crate) fn train_ahead(&self, cells: &[&Cell]) -> anyhow::Result<Counts> {
        let (ahead, counts) = Ahead::train(self.gpu.clone(), cells)?;
        install(Arc::new(ahead));
        Ok(counts)
    }

    /// Trains runs and drops them: their cost alone.
    pub(crate) fn train(&self, settings: &[RunSettings]) -> anyhow::Result<()> {
        let runs: Vec<Covered> =
            settings.iter().cloned().map(Covered::new).collect::<Result<_, _>>()?;
        for run in icl_cuda::train(&self.gpu, &runs)? {
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
pub(crate) fn doctor_line(found: Option<&str>) -> (bool, String) {
    let tool = found.map_or(String::new(), |found| format!("; nvidia-smi: {found}"));
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
