//! The layer itself has positive random features: its own dual has the same features and ends at zero.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig12-random-feature-layer",
    paper: "Appendix, picture 5 of 7",
    claim: "The layer itself has positive random features: its own dual has the same features and ends at zero",
};
