//! Training runs on a launch, as many at once as fit.

use crate::CudaError;
use crate::batch::{Batch, Launch};
use crate::covered::Covered;
use icl_model::ModelError;
use icl_model::trainer::Finished;

/// Trains all runs, as many at once as fit, in their order.
///
/// # Errors
/// [`CudaError::Device`] if the device refuses; a run that diverges is an error of its own.
pub fn train(
    launch: &dyn Launch,
    runs: &[Covered],
) -> Result<Vec<Result<Finished, ModelError>>, CudaError> {
    let room = launch.room()?;
    let mut trained = Vec::new();
    let mut rest = runs;
    while !rest.is_empty() {
        let mut batch = Batch::default();
        let mut n = 0;
        for run in rest {
            let columns = launch.columns(run.settings().train().batch);
            if n > 0 && batch.n_work + run.work(columns) > room {
                break;
            }
            run.add_to(&mut batch, run.start.packed(), columns);
            n += 1;
        }
        launch.train(&mut batch)?;
        for (i, run) in rest[..n].iter().enumerate() {
            trained.push(run.trained(&batch, i));
        }
        rest = &rest[n..];
    }
    Ok(trained)
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
