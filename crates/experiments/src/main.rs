//! `icl`: regenerates, hashes and verifies every figure and table.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program's output; library crates never print"
)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests damage files on purpose"))]

mod cli;
mod clock;
mod commands;
mod families;
mod items;
mod outputs;
mod profile;
mod progress;
mod registry;
mod settings;
mod tensor_file;
mod workspace;

use clap::Parser as _;
use std::process::ExitCode;

/// The C library's allocator keeps the holes that thousands of cells leave: several gigabytes in the `paper`
/// profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match commands::dispatch(cli::Arguments::parse()) {
        Ok(commands::Outcome::Reproduced) => ExitCode::SUCCESS,
        Ok(commands::Outcome::Differs) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
