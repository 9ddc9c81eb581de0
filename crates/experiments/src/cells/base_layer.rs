//! The trained base layer, as the figures of its features measure it.

use super::{Kept, machine};
use crate::views::base_layer;
use artifact::cell;
use dual_model::head::{Head, HeadMatrices};
use icl_model::device::Device;
use icl_model::prompt::PromptBatch;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;

/// The layer after training, and its held-out prompts.
pub(crate) struct BaseLayer {
    matrices: HeadMatrices,
    held_out: PromptBatch,
}

impl BaseLayer {
    /// Trains it; see [`base_layer::settings`].
    pub(crate) fn trained(
        context: &cell::Context<'_>,
        train: TrainSettings,
        device: Device,
    ) -> anyhow::Result<Self> {
        let d = train.prompt.d();
        let layer = LayerTraining::new(train, &machine(device))?;
        let mut trainer = layer.trainer();
        trainer.run(&Kept::new(context)?)?;
        let matrices = base_layer::head_matrices(trainer.parameters(), d)?;
        Ok(Self { matrices, held_out: layer.validation().into_owned() })
    }

    /// Its head on a held-out prompt.
    pub(crate) fn head(&self, prompt: usize) -> anyhow::Result<Head> {
        Ok(Head::project(&base_layer::tokens(&self.held_out, prompt)?, &self.matrices)?)
    }
}
