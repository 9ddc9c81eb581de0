//! Exponential regression in context.

use super::{Scale, Task};
use icl_numerics::elementary::Function;
use icl_numerics::lanes::{Isa, Lane16};

/// `s = exp(W t)`. Paper gap: sources name the task; the form is ours.
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

/// `s = exp(W t) - 1`, whose mean is small beside its spread: a layer without bias can learn it.
pub(super) struct ShiftedExponential;

impl Task for ShiftedExponential {
    fn id(&self) -> &'static str {
        "shifted-exponential"
    }

    fn equation(&self) -> &'static str {
        "s = exp(W t) - 1"
    }

    fn respond(&self, isa: Isa, wt: &mut [Lane16]) {
        Function::Exp.map_lanes(isa, wt);
        for x in wt.iter_mut().flat_map(|lanes| &mut lanes.0) {
            *x -= 1.0;
        }
    }

    fn default_scale(&self) -> Scale {
        Scale::Half
    }
}
