//! The layer along its training, held-out prompts, and the variants of its keys and queries.

use super::Settings;
use crate::cells::machine;
use crate::views::base_layer;
use dual_model::Matrix;
use dual_model::balance::{balanced, centred};
use dual_model::feature_map::squared_sum;
use dual_model::head::{Head, HeadMatrices};
use icl_model::device::Device;
use icl_model::objective::Set;
use icl_model::prompt::PromptShape;
use icl_model::training::LayerTraining;
use icl_numerics::order;

/// What is done to keys and queries before the feature map; the softmax does not see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing.
    AsTrained,
    /// Keys less the mean of the prompt's demonstrations.
    Centred,
    /// Other projections with the same scores and equal second moments of queries and keys.
    Balanced,
    /// Both.
    BalancedCentred,
}

impl Variant {
    pub(super) const ALL: [Self; 4] =
        [Self::AsTrained, Self::Centred, Self::Balanced, Self::BalancedCentred];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AsTrained => "as trained",
            Self::Centred => "centred",
            Self::Balanced => "balanced",
            Self::BalancedCentred => "balanced, centred",
        }
    }
}

/// A layer at one step of its training.
pub(super) struct Snapshot {
    /// The step.
    pub(super) step: usize,
    /// Relative loss on the held-out set.
    pub(super) loss: f64,
    trained: HeadMatrices,
    balanced: HeadMatrices,
}

/// A run's snapshots and its held-out prompts.
pub(super) struct Run {
    pub(super) snapshots: Vec<Snapshot>,
    prompts: Vec<Matrix>,
}

/// Second moments of a token's coordinates: inputs from `U(-1, 1)`, labels `W t`; a query's label is masked.
fn second_moments(shape: PromptShape) -> [Vec<f64>; 2] {
    let inputs = vec![1.0 / 3.0; shape.d_t];
    let label = vec![shape.d_t as f64 / 3.0; shape.d_s];
    [[inputs.as_slice(), &vec![0.0; shape.d_s]].concat(), [inputs, label].concat()]
}

impl Run {
    /// Trains with a seed and keeps the layer at the given steps, ascending; `prompts` held-out prompts.
    pub(super) fn new(
        settings: &Settings,
        seed: u64,
        steps: &[usize],
        prompts: usize,
        device: Device,
    ) -> anyhow::Result<Self> {
        let train = settings.train(seed);
        let (shape, n_validation) = (train.prompt, train.n_validation);
        let [of_queries, of_keys] = second_moments(shape);
        let layer = LayerTraining::new(train, &machine(device))?;
        let mut snapshots = Vec::new();
        layer.trainer().watch(steps, |step, at| {
            let trained = base_layer::head_matrices(at.parameters(), shape.d())?;
            let balanced = balanced(&trained, &of_queries, &of_keys)?;
            let loss = at.evaluate(Set::Validation, n_validation)?.nmse();
            snapshots.push(Snapshot { step, loss, trained, balanced });
            anyhow::Ok(())
        })?;
        let held_out = layer.validation();
        let tokens = (0..prompts).map(|p| base_layer::tokens(&held_out, p));
        Ok(Self { snapshots, prompts: tokens.collect::<anyhow::Result<_>>()? })
    }

    /// Every prompt's head under a variant.
    pub(super) fn heads(&self, at: &Snapshot, variant: Variant) -> anyhow::Result<Vec<Head>> {
        let (matrices, centre) = match variant {
            Variant::AsTrained => (&at.trained, false),
            Variant::Centred => (&at.trained, true),
            Variant::Balanced => (&at.balanced, false),
            Variant::BalancedCentred => (&at.balanced, true),
        };
        let head = |tokens: &Matrix| {
            let head = Head::project(tokens, matrices)?;
            let n = head.n_tokens() - 1;
            let keys = if centre { centred(&head.keys, n)? } else { head.keys };
            anyhow::Ok(Head { keys, ..head })
        };
        self.prompts.iter().map(head).collect()
    }
}

/// `|q + k|^2` of every prompt's query and all its keys, ascending.
pub(super) fn z(heads: &[Head]) -> Vec<f64> {
    let of = |head: &Head| -> Vec<f64> {
        let query = head.queries.row(head.n_tokens() - 1);
        head.keys.iter_rows().map(|key| squared_sum(query, key)).collect()
    };
    let mut all: Vec<f64> = heads.iter().flat_map(of).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The entry below which a share of ascending numbers lies.
pub(super) fn quantile(ascending: &[f64], share: f64) -> f64 {
    ascending[(share * (ascending.len() - 1) as f64).round() as usize]
}

/// Mean of `z`, for which a fitted map is built.
pub(super) fn mean_z(heads: &[Head]) -> f64 {
    order::mean(&z(heads)).unwrap_or(f64::NAN)
}
