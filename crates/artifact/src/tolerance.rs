//! How far a number may lie from the expected one, and why.

use serde::{Deserialize, Serialize};

/// Allowed difference of a column: `|got - expected| <= absolute + relative |expected|`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Absolute part.
    #[serde(default)]
    pub absolute: f64,
    /// Relative part.
    #[serde(default)]
    pub relative: f64,
    /// Why it is as large as it is.
    pub reason: String,
}

impl Tolerance {
    /// Whether `got` is close enough to `expected`.
    pub fn accepts(&self, got: f64, expected: f64) -> bool {
        (got - expected).abs() <= self.absolute + self.relative * expected.abs()
    }
}
