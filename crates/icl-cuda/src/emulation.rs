//! The kernels by the host's C compiler: block after block, thread after thread, on any machine.

#![allow(unsafe_code, reason = "calls into the kernels")]

use crate::CudaError;
use crate::record::{Ending, Run};
use crate::runs::{Batch, Launch};

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

/// Blocks one after the other on the host.
#[derive(Debug, Clone, Copy)]
pub struct Emulation(pub Variant);

type Train =
    unsafe extern "C" fn(*const Run, i32, *const f32, *mut f32, *mut f32, *mut f64, *mut Ending);
type Test = unsafe extern "C" fn(
    *const Run,
    *const f32,
    *mut f32,
    *mut f32,
    *mut f32,
    i64,
    i64,
    i64,
    *mut f64,
);

mod kernels {
    use super::{Ending, Run};

    macro_rules! entries {
        ($train:ident, $test:ident) => {
            unsafe extern "C" {
                pub(super) fn $train(
                    runs: *const Run,
                    n_runs: i32,
                    constants: *const f32,
                    state: *mut f32,
                    work: *mut f32,
                    doubles: *mut f64,
                    endings: *mut Ending,
                );
                pub(super) fn $test(
                    run: *const Run,
                    constants: *const f32,
                    state: *mut f32,
                    work: *mut f32,
                    columns: *mut f32,
                    stride: i64,
                    first: i64,
                    n: i64,
                    losses: *mut f64,
                );
            }
        };
    }

    entries!(icl_train, icl_test);
    entries!(icl_train_backwards, icl_test_backwards);
    entries!(icl_train_contracted, icl_test_contracted);
    entries!(icl_train_reordered, icl_test_reordered);

    unsafe extern "C" {
        pub(super) fn icl_numbers_per_prompt(run: *const Run) -> i64;
        pub(super) fn icl_size_of_run() -> i64;
        #[cfg(test)]
        pub(super) fn icl_exp_normal(x: f32) -> f32;
        #[cfg(test)]
        pub(super) fn icl_exp2_normal(x: f32) -> f32;
    }
}

/// Numbers of one prompt's columns.
pub(crate) fn numbers_per_prompt(run: &Run) -> usize {
    // SAFETY: reads the record only, which has the layout that `size_of_run` confirms.
    unsafe {
        assert_eq!(kernels::icl_size_of_run(), size_of::<Run>() as i64, "layout of a run");
        kernels::icl_numbers_per_prompt(run) as usize
    }
}

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
        // SAFETY: `Batch::add` gives every run its own parts of all five buffers, of the sizes that the kernels use.
        unsafe {
            self.entries().0(
                batch.runs.as_ptr(),
                batch.runs.len() as i32,
                batch.constants.as_ptr(),
                batch.state.as_mut_ptr(),
                work.as_mut_ptr(),
                batch.doubles.as_mut_ptr(),
                batch.endings.as_mut_ptr(),
            );
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

#[cfg(test)]
mod tests {
    use super::kernels::{icl_exp_normal, icl_exp2_normal};

    #[test]
    fn a_nan_of_any_bits_stays_one() {
        // a processor's, a GPU's, and one with a payload
        for bits in [0x7fc0_0000, 0xffc0_0000, 0x7fff_ffff, 0xffff_ffff, 0x7fc0_01ff] {
            let x = f32::from_bits(bits);
            // SAFETY: functions of one number.
            let [e, two] = unsafe { [icl_exp_normal(x), icl_exp2_normal(x)] };
            assert!(e.is_nan() && two.is_nan(), "{bits:x}: {e} {two}");
        }
    }
}
