//! Two heads: the duals of both heads add up to attention's output; what the modifications change.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig11-two-heads",
    paper: "Appendix, picture 4 of 7",
    claim: "Two heads: the duals of both heads add up to attention's output; what the modifications change",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
