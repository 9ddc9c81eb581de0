//! Feature maps `phi` with `E[phi(x) . phi(y)] = exp(x . y)`, one file each.
//!
//! Queries and keys share one draw of `omega`; masked keys are excluded, never zeroed before `phi`; no
//! constant is added inside the estimate. Paper: section 5 of the specification.

mod positive;

pub use positive::Positive;

use icl_numerics::stream::Stream;

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

    /// Closed-form variance of `phi(x) . phi(y)`; `None` where no closed form is known.
    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64>;
}

/// `d_r` independent rows `omega_r ~ N(0, I_d)`; row `r` is sample `r` of the stream.
pub fn gaussian_rows(stream: &Stream, d_r: usize, d: usize) -> Vec<Vec<f64>> {
    let row = |r: usize| {
        let mut draws = stream.sample(r as u64);
        (0..d).map(|_| draws.normal()).collect()
    };
    (0..d_r).map(row).collect()
}
