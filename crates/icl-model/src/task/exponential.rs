//! Exponential regression in context.

use super::Task;
use icl_numerics::elementary::Function;
use icl_numerics::lanes::{Isa, Lane16};

/// `s = exp(W t)`. Paper gap: the source names the task; the form is ours.
pub(super) struct Exponential;

impl Task for Exponential {
    fn id(&self) -> &'static str {
        "exponential"
    }

    fn equation(&self) -> &'static str {
        "s = exp(W t)"
    }

    fn respond(&self, isa: Isa, wt: &mut [Lane16]) {
        Function::Exp.map_lanes(isa, wt);
    }
}
