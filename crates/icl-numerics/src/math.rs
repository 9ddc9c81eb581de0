//! `f64` elementary functions whose bits do not depend on the CPU or the C library.
//!
//! `std`'s versions call the system's libm, which picks another code path where FMA is missing and so
//! returns other bits. These call the pinned, pure Rust `libm` crate. Error: at most 1 ulp for `exp`,
//! `ln`, `sin`, `cos` and 2 ulp for the others (that crate's own test bounds).

/// `e^x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
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

/// Hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}

/// Error function.
pub fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// Natural logarithm of the absolute value of the gamma function.
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
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
