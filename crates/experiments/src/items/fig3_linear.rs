//! Figure 3: the linear task.
//!
//! Claim: along its gradient steps the dual's prediction moves to attention's output, on the curve
//! that its closed form gives, and ends there; panels compare the three modifications with plain.

use crate::families::training_figure;
use crate::registry::{Context, Item, Plan};
use crate::settings::SettingsFile;

/// The item.
pub(crate) static ITEM: Linear = Linear;

/// `fig3-linear`.
pub(crate) struct Linear;

impl Item for Linear {
    fn id(&self) -> &'static str {
        "fig3-linear"
    }

    fn paper(&self) -> &'static str {
        "Figure 3"
    }

    fn claim(&self) -> &'static str {
        "The dual's prediction reaches softmax attention's output after its gradient step, along the \
         closed-form curve; what the modifications change of the test loss is measured"
    }

    fn plan(&self, file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
        training_figure::plan(self.id(), file, context)
    }
}
