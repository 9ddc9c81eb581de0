//! The kernel `K(k, q)` that weighs the tokens.

use icl_numerics::stream::Stream;
use std::sync::Arc;

/// The kernel `K(k, q)`. `F` is what is known of its random features: their number in settings, their rows in
/// a layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel<F> {
    /// `exp(k . q)` over all visible tokens: softmax attention.
    #[default]
    Softmax,
    /// `exp(k . q)` over all visible tokens but the last, the query token, as in J. von Oswald et al. (2023).
    SoftmaxWithoutQuery,
    /// `k . q / N` over the `N` visible tokens but the last, not normalised.
    Linear,
    /// `phi(k) . phi(q)` with positive random features.
    Positive(F),
}

/// A kernel of settings: features by their number `d_r`.
pub type KernelSettings = Kernel<usize>;
/// A kernel of a layer: features by their rows.
pub type AttentionKernel = Kernel<Omegas>;

impl<F> Kernel<F> {
    /// The same kernel with something else known of its features.
    pub fn map<G>(self, f: impl FnOnce(F) -> G) -> Kernel<G> {
        match self {
            Self::Softmax => Kernel::Softmax,
            Self::SoftmaxWithoutQuery => Kernel::SoftmaxWithoutQuery,
            Self::Linear => Kernel::Linear,
            Self::Positive(features) => Kernel::Positive(f(features)),
        }
    }

    /// Whether the last token, the query, has a weight of its own.
    pub fn sees_query(&self) -> bool {
        matches!(self, Self::Softmax | Self::Positive(_))
    }
}

impl KernelSettings {
    /// Softmax for `d_r = 0`, otherwise positive random features.
    pub fn with_features(d_r: usize) -> Self {
        if d_r == 0 { Self::Softmax } else { Self::Positive(d_r) }
    }

    /// The number of features, 0 without.
    pub fn d_r(self) -> usize {
        match self {
            Self::Positive(d_r) => d_r,
            _ => 0,
        }
    }

    /// The kernel for tokens of size `d`, its features drawn by [`Omegas::draw`].
    pub fn drawn(self, seed: u64, d: usize) -> AttentionKernel {
        self.map(|d_r| Omegas::draw(seed, d_r, d))
    }
}

/// Rows `omega_r`, `[d_r, d]`, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Omegas {
    rows: Arc<[f64]>,
    d: usize,
}

impl Omegas {
    /// The given rows of size `d`; a remainder that is no whole row is dropped.
    pub fn new(mut rows: Vec<f64>, d: usize) -> Self {
        rows.truncate(rows.len() / d.max(1) * d);
        Self { rows: rows.into(), d }
    }

    /// `omega_r ~ N(0, I_d)`, row `r` from sample `r` of the stream `(seed, "features")`, rounded to `f32`.
    pub fn draw(seed: u64, d_r: usize, d: usize) -> Self {
        let stream = Stream::new(seed, "features");
        let row = |r: usize| {
            let mut draws = stream.sample(r as u64);
            (0..d).map(move |_| f64::from(draws.normal() as f32)).collect::<Vec<_>>()
        };
        Self::new((0..d_r).flat_map(row).collect(), d)
    }

    /// All rows, one after the other.
    pub fn rows(&self) -> &[f64] {
        &self.rows
    }

    /// The number of rows.
    pub fn d_r(&self) -> usize {
        self.rows.len() / self.d.max(1)
    }

    /// The size of a row.
    pub fn d(&self) -> usize {
        self.d
    }

    /// All rows in single precision.
    pub fn to_f32(&self) -> Vec<f32> {
        self.rows.iter().map(|x| *x as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_from_the_stream_alone_and_more_rows_begin_with_fewer() {
        let (few, many) = (Omegas::draw(2, 3, 5), Omegas::draw(2, 11, 5));
        assert_eq!((few.d_r(), many.d_r(), many.d()), (3, 11, 5));
        assert_eq!(few.rows(), &many.rows()[..15]);
        let stream = Stream::new(2, "features");
        let mut draws = stream.sample(1);
        assert_eq!(f64::from(draws.normal() as f32), few.rows()[5]);
        assert_ne!(Omegas::draw(3, 3, 5), few);
    }

    #[test]
    fn settings_name_their_kernel() {
        assert_eq!(KernelSettings::with_features(0), Kernel::Softmax);
        assert_eq!(KernelSettings::with_features(7).d_r(), 7);
        let text = serde_json::to_string(&KernelSettings::Positive(7)).unwrap();
        assert_eq!(text, r#"{"positive":7}"#);
        assert_eq!(serde_json::from_str::<KernelSettings>(&text).unwrap().d_r(), 7);
    }
}
