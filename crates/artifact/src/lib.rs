//! The parts of a reproducible artifact that do not know what it is about.
//!
//! * [`cell`], [`store`]: units of work with content keys, and where their results are kept.
//! * [`table`]: typed tables and their canonical CSV.
//! * [`figure`], [`latex`]: figures drawn from those tables, as SVG, PNG and PDF; both as fragments of a paper.
//! * [`Class`]: what is promised of the bits of a number.
//! * [`digest`], [`manifest`], [`output`], [`lock`]: SHA-256, what a folder holds, the only writer, and locks
//!   between processes.
//! * [`verify`], [`tolerance`], [`claim`]: what was reproduced, at which level; [`finding`]: what was not.
//! * [`statistics`]: intervals, paired comparisons and slopes, resamples drawn from named streams.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests damage files on purpose"))]

pub mod cell;
pub mod claim;
mod class;
pub mod digest;
mod error;
pub mod figure;
pub mod finding;
mod json;
pub mod latex;
pub mod lock;
pub mod manifest;
pub mod output;
pub mod statistics;
pub mod store;
pub mod table;
pub mod tolerance;
pub mod verify;

pub use class::Class;
pub use error::{ArtifactError, Place};
