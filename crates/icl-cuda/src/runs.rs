//! Training runs on a launch, as many at once as fit.

use crate::CudaError;
use crate::batch::{Batch, Launch, MOST_CONSTANTS};
use crate::covered::Covered;
use icl_model::ModelError;
use icl_model::trainer::Finished;
use std::collections::BTreeMap;

/// Trains all runs, as many at once as fit, the dearest first; results are in the runs' order.
///
/// # Errors
/// [`CudaError::Device`] if the device refuses; a run that diverges is an error of its own.
pub fn train(
    launch: &dyn Launch,
    runs: &[Covered],
) -> Result<Vec<Result<Finished, ModelError>>, CudaError> {
    let room = launch.room()?;
    // blocks start in their order: a dear one that starts last would be waited for
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by(|a, b| runs[*b].cost().total_cmp(&runs[*a].cost()));
    let mut trained: BTreeMap<usize, Result<Finished, ModelError>> = BTreeMap::new();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let mut batch = Batch::default();
        let mut n = 0;
        for run in rest.iter().map(|i| &runs[*i]) {
            let columns = launch.columns(run.settings().train().batch);
            let full =
                batch.n_work + run.work(columns) > room || batch.constants.len() > MOST_CONSTANTS;
            if n > 0 && full {
                break;
            }
            run.add_to(&mut batch, run.start.packed(), columns);
            n += 1;
        }
        launch.train(&mut batch)?;
        let results = rest[..n].iter().enumerate();
        trained.extend(results.map(|(block, i)| (*i, runs[*i].trained(&batch, block))));
        rest = &rest[n..];
    }
    Ok(trained.into_values().collect())
}

/// Losses of the first `n` test prompts of a run's settings under `parameters`.
///
/// # Errors
/// [`CudaError::Device`] if the device refuses.
pub fn test_losses(
    launch: &dyn Launch,
    run: &Covered,
    parameters: &[f32],
    n: usize,
) -> Result<Vec<f64>, CudaError> {
    let mut batch = Batch::default();
    run.add_to(&mut batch, parameters, 1);
    launch.losses(&batch, n)
}
