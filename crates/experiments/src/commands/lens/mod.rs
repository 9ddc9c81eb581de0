//! `icl lens`: the dual-model view of a user's own attention layer, or of all layers of a BERT.

mod model;
mod text;

use crate::cli::{LensArguments, Subject};
use crate::console::{self, say};
use crate::host;
use crate::outcome::Outcome;
use artifact::output;
use icl_lens::{TensorFile, explain};
use icl_numerics::lanes::Isa;
use std::path::Path;

/// Runs the command.
pub(crate) fn lens(arguments: &LensArguments, isa: Isa) -> anyhow::Result<Outcome> {
    if arguments.both.out.as_deref().is_some_and(output::is_standard_output) {
        console::divert();
    }
    match arguments.subject()? {
        Subject::Layer { tokens, weights } => layer(arguments, [tokens, weights], isa),
        Subject::Model { folder, text, longest } => {
            model::model(arguments, folder, text, longest, isa)
        }
    }
}

fn layer(
    arguments: &LensArguments,
    [tokens, weights]: [&Path; 2],
    isa: Isa,
) -> anyhow::Result<Outcome> {
    let tokens = TensorFile::open(tokens)?;
    let weights = TensorFile::open(weights)?;
    let explained = explain(&arguments.options(host::jobs(None), isa), &weights, &tokens)?;
    if let Some(path) = &arguments.both.out {
        output::write_atomically(path, &explained.to_safetensors()?)?;
    }
    let report = &explained.report;
    if arguments.both.json {
        say!("{:#}", report.json());
    } else {
        report.lines().iter().for_each(|line| say!("{line}"));
    }
    Ok(if report.holds() { Outcome::Reproduced } else { Outcome::Differs })
}
