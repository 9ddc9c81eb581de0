//! The plain layer of the base setting, as the training figures train it, and its attention on held-out prompts.

use crate::views::heads;
use dual_model::Matrix;
use dual_model::feature_error::Row;
use dual_model::head::{Head, HeadMatrices};
use icl_model::adam::{AdamSettings, Course};
use icl_model::attention::Parameters;
use icl_model::prompt::{PromptBatch, PromptShape};
use icl_model::settings::{Start, TrainSettings};

/// The training of the plain layer.
pub(crate) fn settings(n_demos: usize, d_t: usize, steps: usize, seed: u64) -> TrainSettings {
    TrainSettings {
        prompt: PromptShape { n_demos, d_t, d_s: 1 },
        steps,
        validate_every: steps.max(1),
        seed,
        adam: AdamSettings { schedule: Course::Cosine.over(steps), ..AdamSettings::default() },
        start: Start::Opposed,
        ..TrainSettings::base()
    }
}

/// The layer's one head.
pub(crate) fn head_matrices(parameters: &Parameters, d: usize) -> anyhow::Result<HeadMatrices> {
    Ok(heads::of_parameters(parameters, d)?.swap_remove(0))
}

/// Tokens of a prompt, `[tokens, d]`, the query last.
pub(crate) fn tokens(batch: &PromptBatch, prompt: usize) -> anyhow::Result<Matrix> {
    let flat = batch.prompt(prompt).into_iter().map(f64::from).collect();
    Ok(Matrix::new(batch.shape.n_tokens(), batch.shape.d(), flat)?)
}

/// Attention of token `query` to all tokens; its output is the label's coordinate.
pub(crate) fn row(head: &Head, query: usize) -> Row<'_> {
    let label = head.values.columns() - 1;
    Row {
        query: head.queries.row(query),
        keys: head.keys.iter_rows().collect(),
        values: head.values.iter_rows().map(|value| &value[label..]).collect(),
    }
}
