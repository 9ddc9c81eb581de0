//! A program without CUDA.

use super::Counts;
use anyhow::bail;
use artifact::cell::Cell;
use icl_model::settings::RunSettings;

/// A GPU, which this program has no way to.
#[derive(Debug)]
pub(crate) enum Gpu {}

impl Gpu {
    /// Refuses.
    pub(crate) fn open(index: usize) -> anyhow::Result<Self> {
        bail!(
            "--device: found cuda:{index}, expected cpu: this program was built without CUDA; `just build-cuda` builds \
             one with it, where a CUDA toolkit is"
        )
    }

    /// Never called.
    pub(crate) fn train_ahead(&self, _: &[&Cell]) -> anyhow::Result<Counts> {
        match *self {}
    }

    /// Never called.
    pub(crate) fn train(&self, _: &[RunSettings]) -> anyhow::Result<()> {
        match *self {}
    }

    /// Never called.
    pub(crate) fn describe(&self) -> String {
        match *self {}
    }
}

/// What `icl doctor` says of GPUs, and whether it is well.
pub(crate) fn doctor_line(found: Option<&str>) -> (bool, String) {
    let text = match found {
        Some(card) => {
            format!(
                "{card}; not used: built without CUDA (`just build-cuda`), every item runs on the CPU"
            )
        }
        None => "none; not needed, every item runs on the CPU".into(),
    };
    (true, text)
}
