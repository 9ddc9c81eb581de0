//! Twice the demonstrations: equivalence curve over 31 steps, and what the modifications change.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig10-long-prompt",
    paper: "Appendix, picture 3 of 7",
    claim: "Twice the demonstrations: equivalence curve over 31 steps, and what the modifications change",
};
