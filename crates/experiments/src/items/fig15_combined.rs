//! The modifications combined: what pairs and all three change of the test loss.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig15-combined",
    paper: "none (ours)",
    claim: "The modifications combined: what pairs and all three change of the test loss",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
