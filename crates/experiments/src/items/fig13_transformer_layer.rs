//! The dual of a whole Transformer layer reaches its output in N gradient steps; what the modifications change.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig13-transformer-layer",
    paper: "Appendix, picture 6 of 7",
    claim: "The dual of a whole Transformer layer reaches its output in N gradient steps; what the modifications change",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
