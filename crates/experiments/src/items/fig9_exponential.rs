//! The exponential task: equivalence curve, and what the modifications change of the test loss.

use crate::item::Item;
use crate::training_figure;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig9-exponential",
    paper: "Appendix, picture 2 of 7",
    claim: "The exponential task: equivalence curve, and what the modifications change of the test loss",
    plan: &|file, context| training_figure::plan(ITEM.id, file, context),
};
