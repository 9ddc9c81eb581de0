//! Feature maps `phi`: one trait, one registry, one file per map.
//!
//! ```text
//! E[phi(x) . phi(y)] = K(x, y),     K(x, y) = exp(x . y) unless a map states another kernel
//! ```
//!
//! Queries and keys share one draw of `omega`; masked keys are excluded, never zeroed before `phi`; no
//! constant is added inside the estimate. Plain features ([`FeatureMap::key_features`]) are not shifted and
//! overflow beyond exponents of about 700; [`Scaled`] features keep the exponent apart and do not.
//!
//! A new map is one file here and one line in [`ALL`]; the registry tests then check it against its kernel,
//! its variance and the dual, unasked. Theory: `docs/theory.md`, section 4.
//!
//! ```
//! use dual_model::feature_map::{self, Setting};
//! use icl_numerics::{order, stream::Stream};
//!
//! let stream = Stream::new(0, "example");
//! let choice = feature_map::parse("hyperbolic")?;
//! let map = choice.build(&Setting { stream: &stream, d_r: 4096, d: 2, mean_z: 0.2, keys: &[] })?;
//! let (x, y) = ([0.3, -0.2], [0.1, 0.4]);
//! let estimate = order::dot(&map.query_features(&x), &map.key_features(&y));
//! // exp(x . y) within five standard deviations of the closed form
//! let variance = map.variance(&x, &y).unwrap_or(f64::NAN);
//! assert!((estimate - (-0.05_f64).exp()).abs() < 5.0 * variance.sqrt());
//! # Ok::<(), dual_model::DualError>(())
//! ```

mod exact;
mod favor_plus_plus;
mod hyperbolic;
mod orthogonal;
mod positive;
mod scaled;
mod taylor;
mod trigonometric;

pub use exact::Exact;
pub use favor_plus_plus::FavorPlusPlus;
pub use hyperbolic::Hyperbolic;
pub use orthogonal::{Orthogonal, orthogonal_rows};
pub use positive::{Positive, log10_features};
pub use scaled::Scaled;
pub use taylor::Taylor;
pub use trigonometric::Trigonometric;

use crate::DualError;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use icl_registry::Options;

/// All feature maps, the exact one first.
pub static ALL: &[Entry] = &[
    exact::ENTRY,
    positive::ENTRY,
    hyperbolic::ENTRY,
    orthogonal::ENTRY,
    trigonometric::ENTRY,
    favor_plus_plus::ENTRY,
    taylor::ENTRY,
];

/// A finite feature map.
pub trait FeatureMap: Send + Sync {
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

    /// The kernel `K(x, y)` that `phi(x) . phi(y)` is, or is in the mean over draws of `omega`.
    fn kernel(&self, x: &[f64], y: &[f64]) -> f64 {
        math::exp(order::dot(x, y))
    }

    /// Closed-form variance of `phi(x) . phi(y)` over draws of `omega`: zero without randomness, `None` if
    /// there is no closed form.
    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64>;

    /// Independent draws that an estimate is the mean of.
    fn rows(&self) -> usize {
        1
    }

    /// `E prod_j X_j / K(x, y_j)` of one draw's estimates `X_j` of the entries `(x, y_j)`: 1 for one key. `None` if
    /// nothing is drawn or there is no closed form.
    fn row_moment(&self, _x: &[f64], _keys: &[&[f64]]) -> Option<f64> {
        None
    }

    /// Covariance of the estimates of `K(x, y)` and `K(x, y')` over draws, divided by both kernels; for `y = y'`
    /// the variance over `K^2`.
    fn relative_covariance(&self, x: &[f64], [y, other]: [&[f64]; 2]) -> Option<f64> {
        Some((self.row_moment(x, &[y, other])? - 1.0) / self.rows() as f64)
    }
}

/// What `phi(x) . phi(y)` is to the softmax kernel `exp(x . y)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimate {
    /// Equal on the keys that the map was built for, so that coefficients on these keys say the same.
    Exact,
    /// Random, equal in the mean over draws, with a closed-form variance.
    Unbiased,
    /// Another kernel, which [`FeatureMap::kernel`] states.
    OtherKernel,
}

/// A map, or why there is none.
pub type Built = Result<Box<dyn FeatureMap>, DualError>;

/// A registered feature map.
#[derive(Debug)]
pub struct Entry {
    /// Name on the command line, in settings and in tables.
    pub id: &'static str,
    /// What it is, for the help of the command line.
    pub title: &'static str,
    /// Equation, for documents.
    pub equation: &'static str,
    /// Variance of `phi(x) . phi(y)` over draws, for documents; what it deviates by if nothing is drawn.
    pub variance: &'static str,
    /// Options with their meaning, for documents; empty if it has none.
    pub options: &'static str,
    /// Who stated it first.
    pub source: &'static str,
    /// Options on which the registry tests run, one setting per element.
    pub examples: &'static [&'static str],
    /// Its relation to the softmax kernel.
    pub estimate: Estimate,
    /// Whether it is built for the keys and queries at hand, and not for their size only.
    pub fitted: bool,
    /// Builds it from its options; the registry refuses options that were not read.
    pub build: fn(&mut Options, &Setting<'_>) -> Built,
}

impl icl_registry::Entry for Entry {
    const KIND: &'static str = "feature map";

    fn id(&self) -> &'static str {
        self.id
    }
}

/// What a map is built for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Stream of the rows `omega`.
    pub stream: &'a Stream,
    /// Largest number of features. Maps of two features a row round an odd one up.
    pub d_r: usize,
    /// Size of keys and queries.
    pub d: usize,
    /// Mean of `|x + y|^2` over keys and queries; read by fitted maps only.
    pub mean_z: f64,
    /// Keys, each of size `d`; read by fitted maps only.
    pub keys: &'a [&'a [f64]],
}

impl Setting<'_> {
    /// `n` rows `omega_r ~ N(0, I_d)`.
    fn gaussian_rows(&self, n: usize) -> Vec<Vec<f64>> {
        gaussian_rows(self.stream, n, self.d)
    }
}

/// A registered map and its options, to be built as often as there are draws or heads.
#[derive(Debug, Clone)]
pub struct Choice {
    entry: &'static Entry,
    options: Options,
    specification: String,
}

impl From<&'static Entry> for Choice {
    /// The map without options.
    fn from(entry: &'static Entry) -> Self {
        Self { entry, options: Options::none(entry.id), specification: entry.id.to_owned() }
    }
}

impl Default for Choice {
    /// The exact map.
    fn default() -> Self {
        Self::from(&ALL[0])
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.specification == other.specification
    }
}

impl Choice {
    /// The registered map.
    pub fn entry(&self) -> &'static Entry {
        self.entry
    }

    /// `id` or `id:option=value,option=value`, as it was given.
    pub fn specification(&self) -> &str {
        &self.specification
    }

    /// Builds the map.
    ///
    /// # Errors
    /// [`DualError`] for `d_r = 0`, an option outside its range, or data on which the map does not exist.
    pub fn build(&self, setting: &Setting<'_>) -> Built {
        if setting.d_r == 0 {
            let (found, expected) = ("0".to_owned(), "at least one feature");
            return Err(DualError::Parameter { name: "d_r", found, expected });
        }
        let mut options = self.options.clone();
        let map = (self.entry.build)(&mut options, setting)?;
        options.finish()?;
        Ok(map)
    }
}

/// The map that `id` or `id:option=value,option=value` names.
///
/// # Errors
/// [`DualError::Registry`] naming what is known or allowed.
pub fn parse(specification: &str) -> Result<Choice, DualError> {
    let (entry, options) = icl_registry::find(ALL, specification)?;
    let choice = Choice { entry, options, specification: specification.to_owned() };
    // options are read by the builder: a small map tells whether they are known and in range
    let stream = Stream::from_key([0; 8]);
    choice.build(&Setting { stream: &stream, d_r: 64, d: 1, mean_z: 1.0, keys: &[] })?;
    Ok(choice)
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

/// `x + sign y` for every key `y`.
fn shifted(x: &[f64], keys: &[&[f64]], sign: f64) -> Vec<Vec<f64>> {
    keys.iter().map(|y| x.iter().zip(*y).map(|(x, y)| x + sign * y).collect()).collect()
}

/// `sum_{i<j} s_i s_j a_i . a_j`, where bit `i` of `signs` says that `s_i = -1`.
fn pair_products(a: &[Vec<f64>], signs: usize) -> f64 {
    let mut sum = 0.0;
    for (j, other) in a.iter().enumerate() {
        for (i, one) in a[..j].iter().enumerate() {
            let product = order::dot(one, other);
            sum += if (signs >> i ^ signs >> j) & 1 == 1 { -product } else { product };
        }
    }
    sum
}

/// `E prod_j cosh(omega . a_j)` over `E cosh(omega . a_j)` for all `j`, or the same of `cos` with `sign = -1`: the mean
/// of `exp(sign sum_{i<j} s_i s_j a_i . a_j)` over all signs.
fn even_moment(a: &[Vec<f64>], sign: f64) -> f64 {
    // the first sign only turns all the others
    let patterns = 1_usize << a.len().saturating_sub(1);
    let terms = (0..patterns).map(|signs| math::exp(sign * pair_products(a, signs)));
    terms.sum::<f64>() / patterns as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_example_is_built() {
        for (i, entry) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|other| other.id != entry.id), "{}", entry.id);
            assert!(!entry.examples.is_empty(), "{}: no example", entry.id);
            for options in entry.examples {
                parse(&format!("{}:{options}", entry.id)).unwrap();
            }
        }
        assert_eq!(Choice::default(), parse("exact").unwrap());
        assert_eq!(Choice::default().entry().estimate, Estimate::Exact);
    }

    #[test]
    fn unknown_names_and_options_are_refused_with_what_is_known() {
        let known = format!("unknown feature map `favour++`; known: {}", icl_registry::names(ALL));
        assert!(known.contains("exact") && known.contains("favor++"));
        for (specification, part) in [
            ("favour++", known.as_str()),
            ("positive:a=0", "expected no options"),
            ("favor++:a=1", "setting `favor++:a`: found 1"),
            ("taylor:order=99", "expected 0 to 20"),
        ] {
            let message = parse(specification).unwrap_err().to_string();
            assert!(message.contains(part), "{specification}: {message}");
        }
    }

    /// By an independent implementation of the stream (SHA-256, ChaCha8, Box-Muller) in another language.
    #[test]
    fn value_stability_of_the_rows_omega() {
        let rows = gaussian_rows(&Stream::new(7, "value-stability"), 3, 2);
        let want = [
            [-0.504_495_403_873_954_4, -0.576_986_753_555_070_5],
            [-0.410_538_755_527_716_4, 0.635_727_714_272_165_5],
            [0.873_363_237_884_727_5, -0.676_228_944_478_628_5],
        ];
        assert_eq!(rows, want);
    }
}
