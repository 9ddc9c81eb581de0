//! Linear regression in context.

use super::{Scale, Task};
use icl_numerics::lanes::{Isa, Lane16};

/// `s = W t`. Paper gap: recollected, not confirmed by a source at hand.
pub(super) struct Linear;

impl Task for Linear {
    fn id(&self) -> &'static str {
        "linear"
    }

    fn equation(&self) -> &'static str {
        "s = W t"
    }

    fn respond(&self, _isa: Isa, _wt: &mut [Lane16]) {}

    fn default_scale(&self) -> Scale {
        Scale::Raw
    }
}
