//! The program `icl`: regenerates, hashes and verifies every figure and table.
//!
//! * `item`: what an item is; `items`: one file per figure or table; `registry` lists them.
//! * `training_figure`: the family of figures that are written as settings alone.
//! * `cells`, `views`, `regression`, `scheme`: what several items compute or draw with.
//! * `commands`: one file per command; `cli` declares their arguments.
//! * `plan`, `publish`, `spot_check`, `report`: the work of a run, its way into a folder, samples that are made
//!   again, and how all of it is reported.
//! * `gpu`: training runs on a GPU, ahead of the cells that ask for them.
//! * `settings`, `workspace`, `inputs`, `profile`, `outputs`, `record`: an item's settings, where our files and
//!   those of others stand, sizes of a run, the way from outputs to files, and the record of the run that made
//!   them.
//! * `host`, `costs`, `timing`, `clock`, `progress`, `pace`, `console`: what is measured and said, and never
//!   hashed.
//! * `fuzzing`: what the fuzz targets in `fuzz/` call.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests damage files on purpose"))]

mod cells;
mod cli;
mod clock;
mod commands;
mod console;
mod costs;
#[doc(hidden)]
pub mod fuzzing;
mod gpu;
mod host;
mod inputs;
mod item;
mod items;
mod named;
mod outcome;
mod outputs;
mod pace;
mod plan;
mod profile;
mod progress;
mod publish;
mod record;
mod registry;
mod regression;
mod report;
mod scheme;
mod settings;
mod signals;
mod spot_check;
mod timing;
mod training_figure;
mod views;
mod workspace;

use crate::console::note;
use clap::Parser as _;
use std::process::ExitCode;

/// Runs the program: 0 reproduced, 1 something differs or an expected claim fails, 2 could not run.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = commands::dispatch(cli::Arguments::parse());
    match outcome.and_then(|outcome| console::finish().map(|()| outcome)) {
        Ok(outcome::Outcome::Reproduced) => ExitCode::SUCCESS,
        Ok(outcome::Outcome::Differs) => ExitCode::from(1),
        Err(error) => {
            note!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
