//! Trigonometric regression in context.

use super::Task;
use icl_numerics::elementary::Function;
use icl_numerics::lanes::{Isa, Lane16};

/// `s = sin(W t)`, odd in `W`: a layer that weighs labels can learn it. Paper gap: sources name the task; the form is
/// ours.
pub(super) struct Trigonometric;

impl Task for Trigonometric {
    fn id(&self) -> &'static str {
        "trigonometric"
    }

    fn equation(&self) -> &'static str {
        "s = sin(W t)"
    }

    fn respond(&self, isa: Isa, wt: &mut [Lane16]) {
        Function::Sin.map_lanes(isa, wt);
    }
}

/// `s = cos(W t)`, even in `W`: labels of demonstrations say little more than their mean.
pub(super) struct Cosine;

impl Task for Cosine {
    fn id(&self) -> &'static str {
        "cosine"
    }

    fn equation(&self) -> &'static str {
        "s = cos(W t)"
    }

    fn respond(&self, isa: Isa, wt: &mut [Lane16]) {
        Function::Cos.map_lanes(isa, wt);
    }
}
