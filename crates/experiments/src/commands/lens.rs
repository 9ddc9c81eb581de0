//! `icl lens`: the dual-model view of a user's own attention layer.

use crate::lens::arguments::LensArguments;
use crate::lens::{self, report};
use crate::outcome::Outcome;
use crate::tensor_file::TensorFile;

/// Runs the command.
pub(crate) fn lens(arguments: &LensArguments) -> anyhow::Result<Outcome> {
    if arguments.out.as_deref().is_some_and(artifact::output::is_standard_output) {
        crate::console::divert();
    }
    let tokens = TensorFile::open(&arguments.tokens)?;
    let weights = TensorFile::open(&arguments.weights)?;
    let explained = lens::explain(arguments, &weights, &tokens)?;
    explained.write(arguments)?;
    report::print(arguments, &explained.report);
    let holds = explained.report.holds();
    Ok(if holds { Outcome::Reproduced } else { Outcome::Differs })
}
