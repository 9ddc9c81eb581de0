//! The duals of two layers compose to the stack; what the modifications change.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig14-two-layers",
    paper: "Appendix, picture 7 of 7",
    claim: "The duals of two layers compose to the stack; what the modifications change",
};
