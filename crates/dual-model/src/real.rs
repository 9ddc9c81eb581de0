//! The two precisions in which the exact dual is checked.

use icl_numerics::math;
use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// `f32` or `f64`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + Send
    + Sync
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Unit roundoff times two.
    const EPSILON: f64;
    /// Rounds from `f64`.
    fn from_f64(x: f64) -> Self;
    /// Widens to `f64`.
    fn to_f64(self) -> f64;
    /// `e^x`, rounded to this precision.
    #[must_use]
    fn exp(self) -> Self;

    /// `e^x` for `x <= 0`, in a form that vectorises where there is one.
    #[must_use]
    fn exp_of_negative(self) -> Self;

    /// Square root, correctly rounded.
    #[must_use]
    fn sqrt(self) -> Self;

    /// `sum_i x_i y_i`: eight interleaved partial sums, joined as a binary tree.
    #[inline(always)]
    fn dot(x: &[Self], y: &[Self]) -> Self {
        debug_assert_eq!(x.len(), y.len());
        let mut p = [Self::ZERO; 8];
        let ((x_chunks, x_rest), (y_chunks, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
        for (x, y) in x_chunks.iter().zip(y_chunks) {
            for lane in 0..8 {
                p[lane] += x[lane] * y[lane];
            }
        }
        for (p, (x, y)) in p.iter_mut().zip(x_rest.iter().zip(y_rest)) {
            *p += *x * *y;
        }
        ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const EPSILON: f64 = f64::EPSILON;

    fn from_f64(x: f64) -> Self {
        x
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        math::exp(self)
    }

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        math::exp_of_negative(self)
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const EPSILON: f64 = f32::EPSILON as f64;

    fn from_f64(x: f64) -> Self {
        x as f32
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn exp(self) -> Self {
        math::exp(f64::from(self)) as f32
    }

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        math::exp_of_negative(f64::from(self)) as f32
    }

    fn sqrt(self) -> Self {
        self.sqrt()
    }
}
