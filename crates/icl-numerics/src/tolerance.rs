//! Bounds that carry the reason for their size.
//!
//! A test or a verification compares with a [`Tolerance`], never with a bare number, so that the
//! message of a failure says what was allowed and why.

use std::fmt;

/// A relative bound and the reason for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tolerance {
    relative: f64,
    reason: String,
}

impl Tolerance {
    /// Rounding in `f64` over `n_ops` dependent operations: `4 n_ops eps`.
    ///
    /// The worst case of a chain of `n` operations is `n eps / 2`; the factor covers products of
    /// several such chains and the rounding of the reference itself.
    pub fn roundoff_f64(n_ops: usize) -> Self {
        Self::stated(
            4.0 * n_ops as f64 * f64::EPSILON,
            format!("rounding of {n_ops} f64 operations, 4 n eps"),
        )
    }

    /// Rounding in `f32` over `n_ops` dependent operations: `4 n_ops eps`.
    pub fn roundoff_f32(n_ops: usize) -> Self {
        Self::stated(
            4.0 * n_ops as f64 * f64::from(f32::EPSILON),
            format!("rounding of {n_ops} f32 operations, 4 n eps"),
        )
    }

    /// Central differences with step `h`: truncation `h^2` plus rounding `eps / h`, times 100 for the
    /// size of the third derivative.
    pub fn finite_difference(h: f64) -> Self {
        Self::stated(
            100.0 * (h * h + f64::EPSILON / h),
            format!("central differences with step {h:e}: 100 (h^2 + eps/h)"),
        )
    }

    /// Mean of `n` draws with standard deviation `sd` (relative to the compared scale), `sigmas` of it.
    pub fn monte_carlo(sd: f64, n: usize, sigmas: f64) -> Self {
        Self::stated(
            sigmas * sd / (n as f64).sqrt(),
            format!("{sigmas} standard errors of a mean of {n} draws with sd {sd:.3e}"),
        )
    }

    /// A bound from a specification, with its source.
    pub fn stated(relative: f64, reason: impl Into<String>) -> Self {
        Self { relative, reason: reason.into() }
    }

    /// The bound, relative to the scale of the comparison.
    pub fn relative(&self) -> f64 {
        self.relative
    }

    /// Whether `|got - want| <= bound * scale`; false for NaN.
    pub fn accepts(&self, got: f64, want: f64, scale: f64) -> bool {
        (got - want).abs() <= self.relative * scale
    }

    /// Panics with both values, the bound and its reason unless [`Self::accepts`].
    ///
    /// # Panics
    /// If the difference exceeds the bound.
    #[track_caller]
    pub fn assert_close(&self, got: f64, want: f64, scale: f64, what: &str) {
        assert!(
            self.accepts(got, want, scale),
            "{what}: got {got:e}, want {want:e}, difference {:e} exceeds {self} at scale {scale:e}",
            (got - want).abs()
        );
    }

    /// Compares slices element by element, relative to the largest magnitude in `want`.
    ///
    /// # Panics
    /// If the lengths differ or an element exceeds the bound; the message names its index.
    #[track_caller]
    pub fn assert_all_close(&self, got: &[f64], want: &[f64], what: &str) {
        assert_eq!(got.len(), want.len(), "{what}: lengths differ");
        let scale = crate::largest::magnitude(want.iter().copied());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            self.assert_close(*g, *w, scale, &format!("{what}[{i}]"));
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e} ({})", self.relative, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_above_the_bound_is_refused_and_nan_never_accepted() {
        let t = Tolerance::stated(1e-3, "test");
        assert!(t.accepts(1.0005, 1.0, 1.0));
        assert!(!t.accepts(1.002, 1.0, 1.0));
        assert!(!t.accepts(f64::NAN, 1.0, 1.0));
    }

    #[test]
    #[should_panic(expected = "x[1]: got 2e0, want 3e0")]
    fn the_message_names_the_element() {
        Tolerance::roundoff_f64(1).assert_all_close(&[1.0, 2.0], &[1.0, 3.0], "x");
    }
}
