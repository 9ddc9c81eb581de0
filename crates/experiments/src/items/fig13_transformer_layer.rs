//! The dual of a whole Transformer layer reaches its output in N gradient steps; what the modifications change.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig13-transformer-layer",
    paper: "Appendix, picture 6 of 7",
    claim: "The dual of a whole Transformer layer reaches its output in N gradient steps; what the modifications change",
};
