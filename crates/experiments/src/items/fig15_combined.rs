//! The modifications combined: what pairs and all three change of the test loss.

use crate::training_figure::TrainingFigure;

/// The item.
pub(crate) static ITEM: TrainingFigure = TrainingFigure {
    id: "fig15-combined",
    paper: "none (ours)",
    claim: "The modifications combined: what pairs and all three change of the test loss",
};
