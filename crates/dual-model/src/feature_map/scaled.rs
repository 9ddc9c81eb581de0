//! Features whose exponentials have not been taken.

use icl_numerics::math;

/// Features `phi_r = factors[r] e^{exponents[r]}` whose exponentials have not been taken: no size of `x`
/// overflows or underflows. Who multiplies them may shift exponents first, as long as the shift cancels.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// Factors, `[d_r]`.
    pub factors: Vec<f64>,
    /// Exponents, `[d_r]`.
    pub exponents: Vec<f64>,
}

impl Scaled {
    /// Features without exponents.
    pub fn plain(factors: Vec<f64>) -> Self {
        Self { exponents: vec![0.0; factors.len()], factors }
    }

    /// The same factor for every exponent.
    pub fn common(factor: f64, exponents: Vec<f64>) -> Self {
        Self { factors: vec![factor; exponents.len()], exponents }
    }

    /// `phi`, exponentials taken.
    pub fn features(&self) -> Vec<f64> {
        let pairs = self.factors.iter().zip(&self.exponents);
        pairs.map(|(factor, exponent)| factor * math::exp(*exponent)).collect()
    }
}
