//! The exponential task: equivalence curve, and what the modifications change of the test loss.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig9-exponential",
    paper: "Appendix, picture 2 of 7",
    claim: "The exponential task: equivalence curve, and what the modifications change of the test loss",
};
