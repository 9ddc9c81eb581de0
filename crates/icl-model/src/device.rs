//! Where numbers are computed.

use crate::ModelError;
use icl_numerics::lanes::Isa;
use std::fmt;
use std::str::FromStr;

/// A processor with its instruction set, or a GPU by its index.
///
/// The instruction set changes the speed, never a bit. Results of a GPU are of another class: equal within
/// tolerances, not bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu(Isa),
    /// The CUDA device of this index, and the instruction set of the processor beside it.
    Cuda(usize, Isa),
}

impl Device {
    /// The instruction set of what the processor does: all of the work, or sampling for a GPU.
    #[must_use]
    pub fn isa(self) -> Isa {
        match self {
            Self::Cpu(isa) | Self::Cuda(_, isa) => isa,
        }
    }

    /// The device as candle knows it.
    ///
    /// # Errors
    /// [`ModelError::Device`] if this program was built without CUDA or there is no such GPU.
    pub fn candle(self) -> Result<candle_core::Device, ModelError> {
        match self {
            Self::Cpu(_) => Ok(candle_core::Device::Cpu),
            Self::Cuda(index, _) => candle_core::Device::new_cuda(index).map_err(|error| {
                ModelError::Device { device: self.to_string(), reason: error.to_string() }
            }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(_) => f.write_str("cpu"),
            Self::Cuda(index, _) => write!(f, "cuda:{index}"),
        }
    }
}

/// A device as it is named on the command line: `cpu`, `cuda`, `cuda:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
}

impl DeviceName {
    /// The device; `isa` is the processor's instruction set.
    #[must_use]
    pub fn with(self, isa: Isa) -> Device {
        match self {
            Self::Cpu => Device::Cpu(isa),
            Self::Cuda(index) => Device::Cuda(index, isa),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cuda = |index: &str| index.parse().ok().map(Self::Cuda);
        match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            None if text == "cuda" => Some(Self::Cuda(0)),
            Some(("cuda", index)) => cuda(index),
            _ => None,
        }
        .ok_or_else(|| format!("found {text}, expected cpu or cuda[:N]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, want) in
            [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3"), ("cuda:0", "cuda:0")]
        {
            let name: DeviceName = text.parse().unwrap();
            assert_eq!(name.with(Isa::Portable).to_string(), want);
        }
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", ""] {
            let message = text.parse::<DeviceName>().unwrap_err();
            assert!(message.contains("cpu or cuda[:N]"), "{message}");
        }
    }

    #[test]
    fn a_build_without_cuda_refuses_a_gpu_by_name() {
        let Err(error) = Device::Cuda(1, Isa::Portable).candle() else { return };
        assert!(error.to_string().contains("cuda:1"), "{error}");
    }
}
