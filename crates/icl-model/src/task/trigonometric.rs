//! Trigonometric regression in context.

use super::Task;
use icl_numerics::elementary::Function;
use icl_numerics::lanes::{Isa, Lane16};

/// `s = cos(W t)`. Paper gap: the source names the task; the form is ours.
pub(super) struct Trigonometric;

impl Task for Trigonometric {
    fn id(&self) -> &'static str {
        "trigonometric"
    }

    fn equation(&self) -> &'static str {
        "s = cos(W t)"
    }

    fn respond(&self, isa: Isa, wt: &mut [Lane16]) {
        Function::Cos.map_lanes(isa, wt);
    }
}
