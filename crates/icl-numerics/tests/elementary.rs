//! Elementary functions on lanes against the `f64` functions, rounded: at most 1 ulp, or what each one states.
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

/// Checks the error over every `stride`-th bit pattern in `[low, high]`, both non-negative or one sign.
fn within_one(function: Function, exact: impl Fn(f64) -> f64, low: f32, high: f32, stride: usize) {
    within(1.0, function, exact, [low, high], stride);
}

fn within(
    bound: f64,
    function: Function,
    exact: impl Fn(f64) -> f64,
    [low, high]: [f32; 2],
    stride: usize,
) {
    let (from, to) = (low.to_bits().min(high.to_bits()), low.to_bits().max(high.to_bits()));
    let patterns: Vec<u32> = (from..=to).step_by(stride).collect();
    for chunk in patterns.chunks(1 << 12) {
        let x: Vec<f32> = chunk.iter().map(|b| f32::from_bits(*b)).collect();
        let mut y = x.clone();
        function.map(Isa::detect(), &mut y);
        for (x, y) in x.iter().zip(&y) {
            let error = ulps(*y, exact(f64::from(*x)));
            assert!(error <= bound, "{function:?}: {error} ulp at {x:e}");
        }
    }
}

fn gelu(x: f64) -> f64 {
    x * math::normal_cdf(x)
}

fn all_functions(stride: usize) {
    within_one(Function::Exp, math::exp, 0.0, 89.0, stride);
    within_one(Function::Exp, math::exp, -0.0, -105.0, stride);
    within_one(Function::Exp2, |x| math::powf(2.0, x), 0.0, 127.0, stride);
    within_one(Function::Exp2, |x| math::powf(2.0, x), -0.0, -126.0, stride);
    within_one(Function::Ln, math::ln, f32::MIN_POSITIVE, f32::MAX, stride);
    within_one(Function::Sin, math::sin, 0.0, 8192.0, stride);
    within_one(Function::Sin, math::sin, -0.0, -8192.0, stride);
    within_one(Function::Cos, math::cos, 0.0, 8192.0, stride);
    within_one(Function::Cos, math::cos, -0.0, -8192.0, stride);
    within_one(Function::Tanh, math::tanh, 0.0, f32::MAX, stride);
    within_one(Function::Tanh, math::tanh, -0.0, f32::MIN, stride);
    within(8.0, Function::Gelu, gelu, [0.0, f32::MAX], stride);
    within(8.0, Function::Gelu, gelu, [-0.0, -12.0], stride);
}

#[test]
fn the_slope_of_gelu_is_its_derivative() {
    let x: Vec<f32> = (-160_000..=160_000_i32).map(|i| i as f32 * 1.25e-4).collect();
    let mut y = x.clone();
    Function::GeluSlope.map(Isa::detect(), &mut y);
    for (x, y) in x.iter().map(|x| f64::from(*x)).zip(&y) {
        let exact = math::normal_cdf(x) + x * math::normal_density(x);
        // rounding of Phi near 1, and of x phi(x) where the two nearly cancel
        assert!((f64::from(*y) - exact).abs() < 4e-7, "{x}: {y} {exact}");
    }
    // the closed forms are each other's derivative
    let h = 1e-5;
    for i in -80..80 {
        let x = f64::from(i) * 0.1;
        let quotient = (gelu(x + h) - gelu(x - h)) / (2.0 * h);
        let exact = math::normal_cdf(x) + x * math::normal_density(x);
        // a remainder of the order of h^2, and rounding eps / h
        assert!((quotient - exact).abs() < 1e-9, "{x}: {quotient} {exact}");
    }
}

#[test]
fn every_function_is_within_its_bound_on_a_sample() {
    all_functions(997);
}

#[test]
#[ignore = "slow: 9e9 evaluations, about 6 min"]
fn every_function_is_within_its_bound_for_every_finite_input() {
    all_functions(1);
}

#[test]
fn instruction_sets_return_the_same_bits() {
    let x: Vec<f32> = (0..2_000_003).map(|i| (i as f32 - 1e6) * 1.037e-4).collect();
    for function in [
        Function::Exp,
        Function::Exp2,
        Function::Ln,
        Function::Sin,
        Function::Cos,
        Function::Tanh,
        Function::Gelu,
        Function::GeluSlope,
    ] {
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
    for function in [Function::Exp, Function::Tanh, Function::Gelu, Function::GeluSlope] {
        let mut y = [f32::NAN];
        function.map(Isa::detect(), &mut y);
        assert!(y[0].is_nan(), "{function:?}");
    }
}
