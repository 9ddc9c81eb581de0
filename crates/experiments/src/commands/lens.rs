//! `icl lens`: the dual-model view of a user's own attention layer.

use crate::cli::LensArguments;
use crate::console::{self, say};
use crate::host;
use crate::outcome::Outcome;
use artifact::output;
use icl_lens::{TensorFile, explain};
use icl_numerics::lanes::Isa;

/// Runs the command.
pub(crate) fn lens(arguments: &LensArguments, isa: Isa) -> anyhow::Result<Outcome> {
    if arguments.out.as_deref().is_some_and(output::is_standard_output) {
        console::divert();
    }
    let tokens = TensorFile::open(&arguments.tokens)?;
    let weights = TensorFile::open(&arguments.weights)?;
    let explained = explain(&arguments.options(host::jobs(None), isa), &weights, &tokens)?;
    if let Some(path) = &arguments.out {
        output::write_atomically(path, &explained.to_safetensors()?)?;
    }
    let report = &explained.report;
    if arguments.json {
        say!("{:#}", report.json());
    } else {
        report.lines().iter().for_each(|line| say!("{line}"));
    }
    Ok(if report.holds() { Outcome::Reproduced } else { Outcome::Differs })
}
