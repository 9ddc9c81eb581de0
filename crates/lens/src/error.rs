//! What can go wrong in this crate.

/// An error of the lens.
///
/// Messages name options as `icl lens` spells them: `--heads` is [`Options::heads`](crate::Options::heads).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LensError {
    /// An option, tensor or file that is not what it has to be.
    #[error("{place}: found {found}, expected {expected}; {next}")]
    Refused {
        /// The option, or the file and the tensor.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
        /// The next step.
        next: String,
    },
    /// A file that cannot be opened.
    #[error("{file}: cannot read: {cause}; check the path and its permissions")]
    Open {
        /// The file.
        file: String,
        /// Why.
        cause: std::io::Error,
    },
    /// A part of a file that cannot be read.
    #[error("{file}: cannot read {length} bytes at {at}: {cause}")]
    Read {
        /// The file.
        file: String,
        /// Bytes that were asked for.
        length: usize,
        /// The first of them.
        at: u64,
        /// Why.
        cause: std::io::Error,
    },
    /// Threads that the system does not grant.
    #[error("--threads: found {threads}, expected a number that the system grants; lower it")]
    Threads {
        /// The number asked for.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// The dual's side.
    #[error(transparent)]
    Dual(#[from] dual_model::DualError),
    /// The layer's side.
    #[error(transparent)]
    Model(#[from] icl_model::ModelError),
    /// A candle operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// Tensors that cannot be written.
    #[error(transparent)]
    Safetensors(#[from] safetensors::SafeTensorError),
}

/// A result of this crate.
pub(crate) type Result<T> = std::result::Result<T, LensError>;

impl LensError {
    /// What is wrong at a place.
    pub(crate) fn refused(
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::Refused {
            place: place.into(),
            found: found.into(),
            expected: expected.into(),
            next: next.into(),
        }
    }
}
