//! The clock: progress, benches and records of a run read it, nothing that is hashed does.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
