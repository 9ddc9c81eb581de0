//! Two heads: the duals of both heads add up to attention's output; what the modifications change.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig11-two-heads",
    paper: "Appendix, picture 4 of 7",
    claim: "Two heads: the duals of both heads add up to attention's output; what the modifications change",
};
