//! The kernels by the host's C compiler: block after block, thread after thread, on any machine.

#![allow(unsafe_code, reason = "calls into the kernels")]

use crate::CudaError;
use crate::batch::{Batch, Launch};
use crate::host::{Test, Train, kernels};

/// Which build of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The kernels.
    Exact,
    /// The same, the threads of a block one after the other from the last to the first: their order must not matter.
    Backwards,
    /// A mutant: one product and sum of Adam contracted to a fused multiply-add.
    Contracted,
    /// A mutant: dot products from the last entry to the first.
    Reordered,
}

/// Steps of a launch: few, so that tests see runs go on.
const STEPS: usize = 3;

/// Blocks one after the other on the host.
#[derive(Debug, Clone, Copy)]
pub struct Emulation(pub Variant);

impl Emulation {
    fn entries(self) -> (Train, Test) {
        match self.0 {
            Variant::Exact => (kernels::icl_train, kernels::icl_test),
            Variant::Backwards => (kernels::icl_train_backwards, kernels::icl_test_backwards),
            Variant::Contracted => (kernels::icl_train_contracted, kernels::icl_test_contracted),
            Variant::Reordered => (kernels::icl_train_reordered, kernels::icl_test_reordered),
        }
    }
}

impl Launch for Emulation {
    fn columns(&self, batch: usize) -> usize {
        batch
    }

    fn room(&self) -> Result<usize, CudaError> {
        // one run at a time: blocks follow each other anyway
        Ok(0)
    }

    fn train(&self, batch: &mut Batch) -> Result<(), CudaError> {
        // no number that was not written is read
        let mut work = vec![f32::NAN; batch.n_work];
        for first in (0..batch.steps().max(1)).step_by(STEPS) {
            // nor one that another launch has left in scratch
            work.fill(f32::NAN);
            // SAFETY: `Covered::add_to` gives every run its own parts of all five buffers, of the sizes that the kernels use.
            unsafe {
                self.entries().0(
                    batch.runs.as_ptr(),
                    batch.runs.len() as i32,
                    batch.constants.as_ptr(),
                    batch.state.as_mut_ptr(),
                    work.as_mut_ptr(),
                    batch.doubles.as_mut_ptr(),
                    batch.endings.as_mut_ptr(),
                    first as i32,
                    (first + STEPS) as i32,
                );
            }
        }
        Ok(())
    }

    fn losses(&self, batch: &Batch, n: usize) -> Result<Vec<f64>, CudaError> {
        let (mut state, mut work) = (batch.state.clone(), vec![f32::NAN; batch.n_work]);
        let mut columns = vec![f32::NAN; batch.numbers_per_prompt];
        let mut losses = vec![0.0; n];
        // SAFETY: as in `train`, for the only run; one column of scratch, and one loss a prompt.
        unsafe {
            self.entries().1(
                batch.runs.as_ptr(),
                batch.constants.as_ptr(),
                state.as_mut_ptr(),
                work.as_mut_ptr(),
                columns.as_mut_ptr(),
                1,
                0,
                n as i64,
                losses.as_mut_ptr(),
            );
        }
        Ok(losses)
    }
}
