//! Feature maps `phi` with `E[phi(x) . phi(y)] = exp(x . y)`, one file each.
//!
//! Queries and keys share one draw of `omega`; masked keys are excluded, never zeroed before `phi`; no
//! constant is added inside the estimate. Plain features ([`FeatureMap::key_features`]) are not shifted and
//! overflow beyond exponents of about 700; [`Scaled`] features keep the exponent apart and do not. Paper: section 5 of the specification.

mod exact;
mod favor_plus_plus;
mod hyperbolic;
mod orthogonal;
mod positive;
mod taylor;
mod trigonometric;

pub use exact::Exact;
pub use favor_plus_plus::FavorPlusPlus;
pub use hyperbolic::Hyperbolic;
pub use orthogonal::{Orthogonal, orthogonal_rows};
pub use positive::Positive;
pub use taylor::Taylor;
pub use trigonometric::Trigonometric;

use crate::DualError;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};

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

/// A finite feature map for the softmax kernel.
pub trait FeatureMap: Send + Sync {
    /// Name on the command line and in tables.
    fn name(&self) -> &'static str;

    /// Features of a key, `[d_r]`.
    fn key_features(&self, x: &[f64]) -> Vec<f64>;

    /// Features of a query; the same map unless a map says otherwise.
    fn query_features(&self, x: &[f64]) -> Vec<f64> {
        self.key_features(x)
    }

    /// Features of a key with their exponents apart. A map without exponents (Taylor, exact) has none here.
    fn scaled_key_features(&self, x: &[f64]) -> Scaled {
        Scaled::plain(self.key_features(x))
    }

    /// Features of a query with their exponents apart.
    fn scaled_query_features(&self, x: &[f64]) -> Scaled {
        Scaled::plain(self.query_features(x))
    }

    /// Closed-form variance of `phi(x) . phi(y)` over draws of `omega`; zero without randomness.
    fn variance(&self, x: &[f64], y: &[f64]) -> f64;
}

/// The random maps by name, in the order in which figures show them.
pub const RANDOM: [&str; 5] = ["positive", "hyperbolic", "orthogonal", "trigonometric", "favor++"];

/// A random map with `d_r` features for inputs of size `d`; `z` is the data's mean of `|x + y|^2`, read
/// by `favor++` only. Maps of two features a row take `d_r / 2` rows, rounded up.
///
/// # Errors
/// [`DualError::Parameter`] for an unknown name, `d_r = 0`, or a `z` that is not positive.
pub fn random(
    name: &str,
    stream: &Stream,
    d_r: usize,
    d: usize,
    z: f64,
) -> Result<Box<dyn FeatureMap>, DualError> {
    if d_r == 0 {
        let (found, expected) = ("0".to_owned(), "at least one feature");
        return Err(DualError::Parameter { name: "d_r", found, expected });
    }
    let half = d_r.div_ceil(2);
    Ok(match name {
        "positive" => Box::new(Positive::new(gaussian_rows(stream, d_r, d))),
        "hyperbolic" => Box::new(Hyperbolic::new(gaussian_rows(stream, half, d))),
        "orthogonal" => Box::new(Orthogonal::new(stream, d_r, d)),
        "trigonometric" => Box::new(Trigonometric::new(gaussian_rows(stream, half, d))),
        "favor++" => Box::new(FavorPlusPlus::new(gaussian_rows(stream, d_r, d), d, z)?),
        other => {
            return Err(DualError::Parameter {
                name: "feature map",
                found: other.to_owned(),
                expected: "positive, hyperbolic, orthogonal, trigonometric or favor++",
            });
        }
    })
}

/// `d_r` independent rows `omega_r ~ N(0, I_d)`; row `r` is sample `r` of the stream.
pub fn gaussian_rows(stream: &Stream, d_r: usize, d: usize) -> Vec<Vec<f64>> {
    let row = |r: usize| {
        let mut draws = stream.sample(r as u64);
        (0..d).map(|_| draws.normal()).collect()
    };
    (0..d_r).map(row).collect()
}

/// `|x + y|^2`.
pub fn squared_sum(x: &[f64], y: &[f64]) -> f64 {
    let sum: Vec<f64> = x.iter().zip(y).map(|(x, y)| x + y).collect();
    order::dot(&sum, &sum)
}
