//! The program `icl`: regenerates, hashes and verifies every figure and table.
//!
//! * `items`: one file per figure or table; `registry` lists them.
//! * `families`: what several items have in common.
//! * `commands`: one file per command; `cli` declares their arguments.
//! * `lens`, `tensor_file`: a user's own layer and files.
//! * `settings`, `workspace`, `profile`, `outputs`, `record`: an item's settings, where files stand, sizes of
//!   a run, the way from outputs to files, and the record of the run that made them.
//! * `fuzzing`: what the fuzz targets in `fuzz/` call.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests damage files on purpose"))]

mod cli;
mod clock;
mod commands;
mod console;
mod families;
#[doc(hidden)]
pub mod fuzzing;
mod host;
mod items;
pub mod lens;
mod outputs;
mod profile;
mod progress;
mod record;
mod registry;
mod settings;
pub mod tensor_file;
mod workspace;

use crate::console::note;
use clap::Parser as _;
use std::process::ExitCode;

/// Runs the program: 0 reproduced, 1 something differs or an expected claim fails, 2 could not run.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = commands::dispatch(cli::Arguments::parse());
    match outcome.and_then(|outcome| console::finish().map(|()| outcome)) {
        Ok(commands::Outcome::Reproduced) => ExitCode::SUCCESS,
        Ok(commands::Outcome::Differs) => ExitCode::from(1),
        Err(error) => {
            note!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
