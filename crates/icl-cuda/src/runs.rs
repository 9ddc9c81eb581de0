//! Training runs on a launch, as many at once as fit.

use crate::CudaError;
use crate::batch::{Batch, Launch};
use crate::covered::Covered;
use icl_model::ModelError;
use icl_model::attention::Parameters;
use icl_model::settings::RunSettings;
use icl_model::trainer::Finished;

/// Why no block trains these settings; `None` if one does.
pub fn reason_against(settings: &RunSettings) -> Option<CudaError> {
    Covered::new(settings).err()
}

/// Trains all runs, as many at once as fit, in their order.
///
/// # Errors
/// [`CudaError`] if a run is not covered or the device refuses; a run that diverges is an error of its own.
pub fn train(
    launch: &dyn Launch,
    settings: &[RunSettings],
) -> Result<Vec<Result<Finished, ModelError>>, CudaError> {
    let room = launch.room()?;
    let covered: Vec<_> = settings.iter().map(Covered::new).collect::<Result<_, _>>()?;
    let mut trained = Vec::new();
    let mut rest = covered.as_slice();
    while !rest.is_empty() {
        let mut batch = Batch::default();
        let mut n = 0;
        for run in rest {
            let columns = launch.columns(run.settings.train().batch);
            if n > 0 && batch.n_work + run.work(columns) > room {
                break;
            }
            run.add_to(&mut batch, &run.start, columns);
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

/// Losses of the first `n` test prompts under `parameters`.
///
/// # Errors
/// As [`train`].
pub fn test_losses(
    launch: &dyn Launch,
    settings: &RunSettings,
    parameters: &Parameters,
    n: usize,
) -> Result<Vec<f64>, CudaError> {
    let run = Covered::new(settings)?;
    let mut batch = Batch::default();
    run.add_to(&mut batch, parameters, 1);
    launch.losses(&batch, n)
}
