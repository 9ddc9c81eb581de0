//! Elementary functions on lanes against the `f64` functions, rounded: at most 1 ulp.
//!
//! The reference is `icl_numerics::math` in `f64`, whose own error is below 1e-8 `f32` ulp, so the
//! distance measured here is the distance to the exact value up to that.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_numerics::elementary::Function;
use icl_numerics::lanes::Isa;
use icl_numerics::math;

/// Distance of `got` to the exact value in units in the last place of `f32` at that value.
fn ulps(got: f32, exact: f64) -> f64 {
    if exact.abs() > f64::from(f32::MAX) {
        return if f64::from(got) == f64::INFINITY.copysign(exact) { 0.0 } else { 1e9 };
    }
    let rounded = (exact as f32).abs();
    let next = f32::from_bits(rounded.to_bits() + 1);
    let ulp = if next.is_finite() {
        f64::from(next) - f64::from(rounded)
    } else {
        f64::from(rounded) - f64::from(f32::from_bits(rounded.to_bits() - 1))
    };
    (f64::from(got) - exact).abs() / ulp
}

/// Largest error over every `stride`-th bit pattern in `[low, high]`, both non-negative or one sign.
fn worst(
    function: Function,
    exact: impl Fn(f64) -> f64,
    low: f32,
    high: f32,
    stride: usize,
) -> f64 {
    let (from, to) = (low.to_bits().min(high.to_bits()), low.to_bits().max(high.to_bits()));
    let mut worst = (0.0, 0.0_f32);
    let patterns: Vec<u32> = (from..=to).step_by(stride).collect();
    for chunk in patterns.chunks(1 << 12) {
        let x: Vec<f32> = chunk.iter().map(|b| f32::from_bits(*b)).collect();
        let mut y = x.clone();
        function.map(Isa::detect(), &mut y);
        for (x, y) in x.iter().zip(&y) {
            let error = ulps(*y, exact(f64::from(*x)));
            if error > worst.0 {
                worst = (error, *x);
            }
        }
    }
    assert!(worst.0 <= 1.0, "{function:?}: {} ulp at {:e}", worst.0, worst.1);
    worst.0
}

fn all_functions(stride: usize) {
    worst(Function::Exp, math::exp, 0.0, 89.0, stride);
    worst(Function::Exp, math::exp, -0.0, -105.0, stride);
    worst(Function::Exp2, |x| math::powf(2.0, x), 0.0, 127.0, stride);
    worst(Function::Exp2, |x| math::powf(2.0, x), -0.0, -126.0, stride);
    worst(Function::Ln, math::ln, f32::MIN_POSITIVE, f32::MAX, stride);
    worst(Function::Sin, math::sin, 0.0, 8192.0, stride);
    worst(Function::Sin, math::sin, -0.0, -8192.0, stride);
    worst(Function::Cos, math::cos, 0.0, 8192.0, stride);
    worst(Function::Cos, math::cos, -0.0, -8192.0, stride);
    worst(Function::Tanh, math::tanh, 0.0, f32::MAX, stride);
    worst(Function::Tanh, math::tanh, -0.0, f32::MIN, stride);
}

#[test]
fn every_function_is_within_one_ulp_on_a_sample() {
    all_functions(997);
}

#[test]
#[ignore = "slow: 9e9 evaluations, about 6 min"]
fn every_function_is_within_one_ulp_for_every_finite_input() {
    all_functions(1);
}

#[test]
fn instruction_sets_return_the_same_bits() {
    let x: Vec<f32> = (0..2_000_003).map(|i| (i as f32 - 1e6) * 1.037e-4).collect();
    for function in
        [Function::Exp, Function::Exp2, Function::Ln, Function::Sin, Function::Cos, Function::Tanh]
    {
        let mut reference = x.clone();
        function.map(Isa::Portable, &mut reference);
        for isa in Isa::available() {
            let mut y = x.clone();
            function.map(isa, &mut y);
            let same = y
                .iter()
                .zip(&reference)
                .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            assert!(same, "{function:?} on {isa:?}");
        }
    }
}

#[test]
fn not_a_number_stays_not_a_number() {
    for function in [Function::Exp, Function::Tanh] {
        let mut y = [f32::NAN];
        function.map(Isa::detect(), &mut y);
        assert!(y[0].is_nan(), "{function:?}");
    }
}
