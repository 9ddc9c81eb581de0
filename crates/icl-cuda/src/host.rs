//! The kernels as the host's C compiler made them.

#![allow(unsafe_code, reason = "calls into the kernels")]

use crate::record::{Ending, Run};

pub(crate) type Train = unsafe extern "C" fn(
    *const Run,
    i32,
    *const f32,
    *mut f32,
    *mut f32,
    *mut f64,
    *mut Ending,
    i32,
    i32,
);
pub(crate) type Test = unsafe extern "C" fn(
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

pub(crate) mod kernels {
    use super::{Ending, Run};

    macro_rules! entries {
        ($train:ident, $test:ident) => {
            unsafe extern "C" {
                pub(crate) fn $train(
                    runs: *const Run,
                    n_runs: i32,
                    constants: *const f32,
                    state: *mut f32,
                    work: *mut f32,
                    doubles: *mut f64,
                    endings: *mut Ending,
                    first: i32,
                    end: i32,
                );
                pub(crate) fn $test(
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
        pub(crate) fn icl_numbers_per_prompt(run: *const Run) -> i64;
        pub(crate) fn icl_size_of_run() -> i64;
        #[cfg(test)]
        pub(crate) fn icl_exp_normal(x: f32) -> f32;
        #[cfg(test)]
        pub(crate) fn icl_exp2_normal(x: f32) -> f32;
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
