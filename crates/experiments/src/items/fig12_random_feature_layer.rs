//! The layer itself has positive random features: its own dual has the same features and ends at zero.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig12-random-feature-layer",
    paper: "Appendix, picture 5 of 7",
    claim: "The layer itself has positive random features: its own dual has the same features and ends at zero",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
