//! How a command ended.

/// How a command ended, if it could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Reproduced,
    /// Exit code 1.
    Differs,
}
