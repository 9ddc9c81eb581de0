//! `f64` elementary functions whose bits do not depend on the CPU or the C library.
//!
//! `std`'s versions call the system's libm, which picks another code path where FMA is missing and so
//! returns other bits. These call the pinned, pure Rust `libm` crate. Error: at most 1 ulp for `exp`,
//! `ln`, `sin`, `cos` and 2 ulp for the others (that crate's own test bounds).

/// `e^x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// `e^x` for `x <= 0` in operations that a compiler can put side by side; 0 below -708. Error at most 2 ulp.
///
/// Reduction by `n ln 2` in two parts, Taylor series of order 13 for `|r| <= ln(2)/2` (remainder 4e-18),
/// multiplications and additions only, so the bits are the same on every CPU.
#[inline(always)]
pub fn exp_of_negative(x: f64) -> f64 {
    /// `1.5 * 2^52`: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// `ln 2` in 33 bits, so that `n` times it is exact, and the rest.
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const INVERSE_FACTORIALS: [f64; 14] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let clamped = if x > -708.0 { x } else { -708.0 };
    let shifted = clamped * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2[0]) - n * LN_2[1];
    let mut y = INVERSE_FACTORIALS[13];
    for c in INVERSE_FACTORIALS[..13].iter().rev() {
        y = y * r + c;
    }
    // the low bits of `shifted` are n in two's complement; they move the exponent field
    let scaled = f64::from_bits(y.to_bits().wrapping_add(shifted.to_bits() << 52));
    if x > -708.0 { scaled } else { 0.0 }
}

/// `e^x - 1`, accurate near zero.
pub fn expm1(x: f64) -> f64 {
    libm::expm1(x)
}

/// Natural logarithm.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

/// Logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    libm::log10(x)
}

/// Sine of `x` in radians.
pub fn sin(x: f64) -> f64 {
    libm::sin(x)
}

/// Cosine of `x` in radians.
pub fn cos(x: f64) -> f64 {
    libm::cos(x)
}

/// Arc tangent.
pub fn atan(x: f64) -> f64 {
    libm::atan(x)
}

/// Hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}

/// The normal distribution function `Phi(x)`, accurate in the left tail as well.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// The normal density.
pub fn normal_density(x: f64) -> f64 {
    /// `1 / sqrt(2 pi)`.
    const PEAK: f64 = 0.398_942_280_401_432_7;
    PEAK * exp(-0.5 * x * x)
}

/// `x` to a real power.
pub fn powf(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// `x` to an integer power by repeated squaring (the order of the products is fixed by `n`).
pub fn powi(x: f64, n: i32) -> f64 {
    let mut base = if n < 0 { 1.0 / x } else { x };
    let mut left = n.unsigned_abs();
    let mut product = 1.0;
    while left > 0 {
        if left & 1 == 1 {
            product *= base;
        }
        base *= base;
        left >>= 1;
    }
    product
}

/// Square root; correctly rounded by IEEE 754, listed here so that callers need one module only.
pub fn sqrt(x: f64) -> f64 {
    x.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_exponentials_agree_to_two_ulp() {
        for i in 0..200_000 {
            let x = -f64::from(i) * 3.5e-3;
            let (a, b) = (exp_of_negative(x), exp(x));
            assert!((a - b).abs() <= 2.0 * f64::EPSILON * b, "{x}: {a:e} {b:e}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-800.0), 0.0);
        assert_eq!(exp_of_negative(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn known_values_have_the_expected_bits() {
        // fdlibm: one unit in the last place above the correctly rounded value
        assert_eq!(exp(1.0).to_bits(), std::f64::consts::E.to_bits() + 1);
        assert_eq!(ln(std::f64::consts::E), 1.0);
        assert_eq!(cos(0.0), 1.0);
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!(log10(1e-5), -5.0);
        assert_eq!(powi(2.0, -3), 0.125);
        assert_eq!(powi(3.0, 0), 1.0);
    }
}
