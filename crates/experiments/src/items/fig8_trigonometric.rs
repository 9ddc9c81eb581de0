//! The trigonometric task: equivalence curve, and what the modifications change of the test loss.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig8-trigonometric",
    paper: "Appendix, picture 1 of 7",
    claim: "The trigonometric task: equivalence curve, and what the modifications change of the test loss",
};
