//! Twice the demonstrations: equivalence curve over 31 steps, and what the modifications change.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig10-long-prompt",
    paper: "Appendix, picture 3 of 7",
    claim: "Twice the demonstrations: equivalence curve over 31 steps, and what the modifications change",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
