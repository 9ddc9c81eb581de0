//! Figure 3: the linear task.
//!
//! Along its gradient steps the dual's prediction moves to attention's output, on the curve that its
//! closed form gives, and ends there; panels compare the three modifications with plain.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig3-linear",
    paper: "Figure 3",
    claim: "The dual's prediction reaches softmax attention's output after its gradient step, along the \
            closed-form curve; what the modifications change of the test loss is measured",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
