//! The runs of one launch and their buffers, and where they are launched.

use crate::CudaError;
use crate::record::{Ending, Run};

/// Features, pools and schedules of a launch, after which it takes no other run: kernels count them in 31 bits.
pub(crate) const MOST_CONSTANTS: usize = 1 << 29;

/// Where blocks run.
pub trait Launch {
    /// Columns of scratch that a run of this batch needs: one a prompt, and one a thread.
    fn columns(&self, batch: usize) -> usize;

    /// Numbers of scratch that one launch may hold.
    ///
    /// # Errors
    /// [`CudaError::Device`] if the device does not say.
    fn room(&self) -> Result<usize, CudaError>;

    /// Trains all runs of a batch, in place.
    ///
    /// # Errors
    /// [`CudaError::Device`] if the device refuses the launch.
    fn train(&self, batch: &mut Batch) -> Result<(), CudaError>;

    /// Losses of `n` test prompts under the parameters of the only run of a batch.
    ///
    /// # Errors
    /// [`CudaError::Device`] if the device refuses the launch.
    fn losses(&self, batch: &Batch, n: usize) -> Result<Vec<f64>, CudaError>;
}

/// The runs of one launch and their buffers.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) runs: Vec<Run>,
    /// Features, pools and schedules.
    pub(crate) constants: Vec<f32>,
    /// Parameters, moments and gradient of every run.
    pub(crate) state: Vec<f32>,
    /// Numbers of scratch.
    pub(crate) n_work: usize,
    /// Losses and curves.
    pub(crate) doubles: Vec<f64>,
    pub(crate) endings: Vec<Ending>,
    /// Columns that the largest run needs for one prompt.
    pub(crate) numbers_per_prompt: usize,
}

impl Batch {
    /// Steps of the longest run.
    pub(crate) fn steps(&self) -> usize {
        self.runs.iter().map(|run| run.steps as usize).max().unwrap_or(0)
    }

    /// The place of constants, which are added.
    pub(crate) fn constant(&mut self, values: &[f32]) -> usize {
        let place = self.constants.len();
        self.constants.extend_from_slice(values);
        place
    }
}
