//! What can go wrong around a launch.

use icl_model::ModelError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// A run that no block trains.
    #[error("run: found {found}, expected {expected}; train it on the processor")]
    NotCovered {
        /// What stands in the settings.
        found: String,
        /// What blocks train.
        expected: &'static str,
    },
    /// The device refused something.
    #[error("{doing}: {reason}")]
    Device {
        /// What was tried.
        doing: &'static str,
        /// What the device says.
        reason: String,
    },
    /// The model refused something.
    #[error(transparent)]
    Model(#[from] ModelError),
}
