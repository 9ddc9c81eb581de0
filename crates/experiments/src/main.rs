//! The program `icl`; see the library of this crate.

use std::process::ExitCode;

/// The C library's allocator keeps the holes that thousands of cells leave: several gigabytes in the `paper`
/// profile.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    experiments::main()
}
