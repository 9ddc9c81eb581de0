//! Attention and its modifications: one trait, one registry, one file per modification.
//!
//! ```text
//! h'(q) = (1/D) [ sum_{i in demos} K(g2(k_i), q) v~_i  +  sum_{t in query side} K(k_t, q) (1-alpha) v_t ]
//! D     = sum_i K(g2(k_i), q) + sum_t K(k_t, q)
//! v~    = (I - (beta/m) Neg) g1(v)
//! ```
//!
//! for one full-batch step of the dual; steps on each demonstration weigh demonstration `i` of `N` by
//! `(1-alpha)^(N-i)` and the query side by `(1-alpha)^N` instead.
//!
//! with `k = W_K h / d^(1/4)`, `q = W_Q h_q / d^(1/4)`, `v = W_V h` per head; the heads' outputs are
//! summed (a head's `W_V` is `d x d` and holds its output projection). Plain attention has
//! `alpha = 0`, `g1 = g2 = identity`, `beta = 0`.
//!
//! Theory: `docs/theory.md`, section 10. A new modification is one file here and one line in
//! [`ALL`]; the registry tests then check it against everything above, unasked.

mod augmented;
mod combined;
mod negative;
mod parameters;
mod plain;
mod regularised;
mod terms;
mod weights;

pub(crate) use negative::check_count;
pub use parameters::{LayerShape, ParameterSpec, Parameters};
pub use terms::{Augmentation, Form, Negatives, Rule, Steps, Terms};
pub use weights::Weights;

use crate::ModelError;
use candle_core::Tensor;
use icl_registry::Options;
use std::fmt::Debug;

/// What a modification changes of attention. Every method defaults to what plain attention does.
///
/// Tensors are `[batch, heads, tokens, d]`, where `d` is the size of a head; keys already carry the factor
/// `d^(-1/4)`.
pub trait Modification: Debug + Send + Sync {
    /// Trained variables beyond the projections, for heads of size `d`; all heads share them.
    fn variables(&self, d: usize) -> Vec<ParameterSpec> {
        let _ = d;
        Vec::new()
    }

    /// `g2`: the keys of the demonstrations.
    ///
    /// # Errors
    /// If candle refuses an operation.
    fn keys(&self, weights: &Weights, keys: &Tensor) -> Result<Tensor, ModelError> {
        let _ = weights;
        Ok(keys.clone())
    }

    /// `g1`: the values of the demonstrations.
    ///
    /// # Errors
    /// If candle refuses an operation.
    fn values(&self, weights: &Weights, values: &Tensor) -> Result<Tensor, ModelError> {
        let _ = weights;
        Ok(values.clone())
    }

    /// Mixes the demonstrations' values; `scores[.., i, j]` is the layer's own plain score of
    /// demonstration `i` as a query towards demonstration `j`, without gradient; it is infinite where `i` does
    /// not see `j`.
    ///
    /// # Errors
    /// If candle refuses an operation or the setting does not fit the number of demonstrations.
    fn mix(&self, scores: &Tensor, values: &Tensor) -> Result<Tensor, ModelError> {
        let _ = scores;
        Ok(values.clone())
    }

    /// Whether [`Self::mix`] reads the scores.
    fn needs_scores(&self) -> bool {
        false
    }

    /// Factor on the values of the query side.
    fn query_side_factor(&self) -> f64 {
        1.0
    }

    /// Factor on `W` before the step on every demonstration: one that comes `k` places before the last has the factor
    /// to the power of `k`, the query side that to the power of their number. Only demonstrations that a query sees
    /// are steps of its dual.
    fn shrinkage(&self) -> f64 {
        1.0
    }

    /// The same modification in the three terms that the fused kernel knows; `None` if it exists as candle
    /// operations only.
    fn terms(&self) -> Option<Terms> {
        None
    }
}

/// A registered modification.
pub struct Entry {
    /// Name on the command line and in settings.
    pub id: &'static str,
    /// Equation, for documents.
    pub equation: &'static str,
    /// Options at which it must equal plain attention bit for bit.
    pub neutral: &'static str,
    /// Options on which the registry tests run, one setting per element.
    pub examples: &'static [&'static str],
    /// Builds it from its options; the registry refuses options that were not read.
    pub build: fn(&mut Options) -> Result<Box<dyn Modification>, ModelError>,
}

impl icl_registry::Entry for Entry {
    const KIND: &'static str = "modification";

    fn id(&self) -> &'static str {
        self.id
    }
}

/// All modifications.
pub static ALL: &[Entry] =
    &[plain::ENTRY, regularised::ENTRY, augmented::ENTRY, negative::ENTRY, combined::ENTRY];

/// Every example of every modification, as [`parse`] reads it.
pub fn examples() -> impl Iterator<Item = String> {
    let of = |entry: &'static Entry| {
        let name = |options: &&str| format!("{}:{options}", entry.id);
        entry.examples.iter().map(name).map(|name| name.trim_end_matches(':').to_owned())
    };
    ALL.iter().flat_map(of)
}

/// Builds a modification from its specification `id` or `id:option=value,option=value`.
///
/// # Errors
/// [`ModelError::Registry`] or [`ModelError::Setting`], naming what is known or allowed.
pub fn parse(specification: &str) -> Result<Box<dyn Modification>, ModelError> {
    let (entry, mut options) = icl_registry::find(ALL, specification)?;
    let modification = (entry.build)(&mut options)?;
    options.finish()?;
    Ok(modification)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_example_and_neutral_setting_is_built() {
        for (i, entry) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|other| other.id != entry.id));
            for options in entry.examples.iter().chain([&entry.neutral]) {
                parse(&format!("{}:{options}", entry.id)).unwrap();
            }
        }
    }

    #[test]
    fn unknown_names_and_options_are_refused_with_what_is_known() {
        let known = ALL.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", ");
        for (specification, part) in [
            ("regularized", known.as_str()),
            ("regularised:beta=1", "`beta`"),
            ("regularised:alpha=x", "found x"),
            ("regularised:alpha=2", "0 to 1"),
            ("negative:m=0,beta=1", "1 to 4096"),
            ("negative:m=2,rule=all", "`m`"),
            ("regularised:alpha=1,steps=samples", "0 to 0.99"),
        ] {
            let message = parse(specification).unwrap_err().to_string();
            assert!(message.contains(part), "{specification}: {message}");
        }
    }
}
