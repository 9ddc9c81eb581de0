//! What can go wrong in this crate.

use std::path::PathBuf;

/// An error of the model crate; every message says what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A name that no registry knows.
    #[error("unknown {kind} `{found}`; known: {known}")]
    Unknown {
        /// Which registry.
        kind: &'static str,
        /// The name.
        found: String,
        /// The registered names.
        known: String,
    },
    /// A setting outside its range.
    #[error("setting `{field}`: found {found}, expected {expected}")]
    Setting {
        /// The setting's name.
        field: String,
        /// Its value.
        found: String,
        /// The allowed values.
        expected: String,
    },
    /// Tensors that do not fit together.
    #[error("{op}: found shape {found:?}, expected {expected:?}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// A file that cannot be used.
    #[error("{}: {field}: found {found}, expected {expected}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The field, tensor or part of it.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// Training produced a number that is not finite.
    #[error(
        "training diverged at step {step}: {what} is not finite; lower `learning_rate` or set `clip`"
    )]
    Diverged {
        /// The step, from 1.
        step: usize,
        /// What is not finite.
        what: &'static str,
    },
    /// The name of a modification, or an option of one, that does not fit.
    #[error(transparent)]
    Registry(#[from] icl_registry::RegistryError),
    /// A device that this program cannot use.
    #[error(
        "device {device}: found none ({reason}), expected a CUDA GPU and a program built for it; use cpu"
    )]
    Device {
        /// The device.
        device: String,
        /// What candle says.
        reason: String,
    },
    /// The state of a run could not be kept.
    #[error("checkpoint: {0}")]
    Checkpoint(Box<dyn std::error::Error + Send + Sync>),
    /// A loss that does not depend on the parameters.
    #[error("found no gradient towards the parameters, expected one: an operation has cut it")]
    NoGradient,
    /// candle refused an operation.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl ModelError {
    /// A setting outside its range.
    #[allow(clippy::needless_pass_by_value, reason = "a literal reads better without `&`")]
    pub fn setting(
        field: impl Into<String>,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Setting { field: field.into(), found: found.to_string(), expected: expected.into() }
    }

    /// A part of a file that cannot be used.
    pub fn file(path: &std::path::Path, field: &str, found: &str, expected: &str) -> Self {
        let [field, found, expected] = [field, found, expected].map(str::to_owned);
        Self::File { path: path.to_owned(), field, found, expected }
    }
}
