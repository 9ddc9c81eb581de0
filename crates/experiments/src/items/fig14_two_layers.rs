//! The duals of two layers compose to the stack; what the modifications change.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig14-two-layers",
    paper: "Appendix, picture 7 of 7",
    claim: "The duals of two layers compose to the stack; what the modifications change",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
