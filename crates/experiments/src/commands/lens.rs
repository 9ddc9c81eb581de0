//! `icl lens`: the dual-model view of a user's own attention layer.

use super::Outcome;
use crate::lens::arguments::LensArguments;
use crate::lens::{self, report};
use crate::tensor_file::TensorFile;

/// Runs the command.
pub(crate) fn lens(arguments: &LensArguments) -> anyhow::Result<Outcome> {
    let tokens = TensorFile::open(&arguments.tokens)?;
    let weights = TensorFile::open(&arguments.weights)?;
    let explained = lens::explain(arguments, &weights, &tokens)?;
    explained.write(arguments)?;
    report::print(arguments, &explained.report);
    let holds = explained.report.holds();
    Ok(if holds { Outcome::Reproduced } else { Outcome::Differs })
}
