//! Tolerances of published tests of attention by random features, on those tests' own sizes.
//!
//! Inputs are drawn anew; a mutant passes a draw if its normalised output is within the tolerance. Only tests whose
//! tolerance the unchanged positive features meet are taken over: others were written for other features or for
//! outputs before their normalisation, and say nothing here. Sources: google-research `performer/fast_attention` at
//! 0c1bbe5f, xformers `tests/test_favor.py` at 07c8508b.

use super::mutant::{Mutant, predictions};
use dual_model::Matrix;
use dual_model::feature_map::gaussian_rows;
use dual_model::head::{Head, key_scale};
use dual_model::sequence::Visibility;
use dual_model::shared::SharedDual;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;

/// Length of a test's sequence.
pub(crate) enum Tokens {
    /// As in the test.
    Fixed(usize),
    /// Ten thousand in the test, as many as the profile says here.
    Long,
}

/// How a test judges an output.
enum Measure {
    LargestAbsolute,
    MeanSquare,
}

/// A published test.
pub(crate) struct Published {
    pub(crate) name: &'static str,
    pub(crate) bound: f64,
    pub(crate) tokens: Tokens,
    d: usize,
    d_v: usize,
    d_r: usize,
    measure: Measure,
    inputs: Inputs,
}

/// Inputs of a test.
#[derive(PartialEq)]
enum Inputs {
    /// Normal queries, keys and values.
    Normal,
    /// Queries and keys one, values 1, 0, 0, causal.
    OnesCausal,
}

/// The tests, in the order of the table.
pub(crate) static PUBLISHED: [Published; 3] = [
    Published {
        name: "performer absolute",
        bound: 0.5,
        tokens: Tokens::Long,
        d: 8,
        d_v: 8,
        d_r: 1000,
        measure: Measure::LargestAbsolute,
        inputs: Inputs::Normal,
    },
    Published {
        name: "performer causal",
        bound: 0.02,
        tokens: Tokens::Fixed(3),
        d: 1,
        d_v: 1,
        d_r: 10_000,
        measure: Measure::LargestAbsolute,
        inputs: Inputs::OnesCausal,
    },
    Published {
        name: "xformers mse",
        bound: 0.23,
        tokens: Tokens::Fixed(20),
        d: 10,
        d_v: 10,
        d_r: 22,
        measure: Measure::MeanSquare,
        inputs: Inputs::Normal,
    },
];

impl Published {
    /// The mutant's error on one draw of the test's inputs and features.
    pub(crate) fn error(&self, mutant: Mutant, tokens: usize, draw: u64) -> anyhow::Result<f64> {
        let (head, visibility) = self.inputs(tokens, draw)?;
        let omegas = gaussian_rows(&Stream::new(draw, "published/omega"), self.d_r, self.d);
        let predicted = predictions(mutant, &head, visibility, &omegas)?;
        let mut dual = SharedDual::new(self.d, self.d_v);
        head.key_values(0..tokens).into_iter().try_for_each(|pair| dual.step(pair))?;
        let exact = dual.predict_all(&head.queries, visibility)?;
        Ok(self.judge(predicted.entries(), exact.entries()))
    }

    fn inputs(&self, tokens: usize, draw: u64) -> anyhow::Result<(Head, Visibility)> {
        if self.inputs == Inputs::OnesCausal {
            let ones = Matrix::from_fn(tokens, self.d, |_, _| 1.0);
            let values = Matrix::from_fn(tokens, self.d_v, |i, _| f64::from(u8::from(i == 0)));
            return Ok((Head { keys: ones.clone(), queries: ones, values }, Visibility::Causal));
        }
        // products of queries and keys are the scaled logits
        let scale = key_scale(self.d);
        let rows = |purpose: &str, d: usize, factor: f64| -> anyhow::Result<Matrix> {
            let rows = gaussian_rows(&Stream::new(draw, purpose), tokens, d).concat();
            Ok(Matrix::new(tokens, d, rows.into_iter().map(|x| factor * x).collect())?)
        };
        let keys = rows("published/keys", self.d, scale)?;
        let queries = rows("published/queries", self.d, scale)?;
        let values = rows("published/values", self.d_v, 1.0)?;
        Ok((Head { keys, queries, values }, Visibility::All))
    }

    fn judge(&self, predicted: &[f64], exact: &[f64]) -> f64 {
        let gaps = predicted.iter().zip(exact).map(|(p, e)| (p - e).abs());
        match self.measure {
            Measure::LargestAbsolute => largest::value(gaps),
            Measure::MeanSquare => {
                order::mean(&gaps.map(|gap| gap * gap).collect::<Vec<f64>>()).unwrap_or(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(test: &Published, mutant: Mutant) -> f64 {
        let tokens = match test.tokens {
            Tokens::Fixed(n) => n,
            Tokens::Long => 64,
        };
        test.error(mutant, tokens, 0).unwrap()
    }

    #[test]
    fn nan_passes_no_published_tolerance_and_errors_are_finite_otherwise() {
        for test in &PUBLISHED {
            let nan = error(test, Mutant::NotANumber);
            assert!(nan.is_nan() && !matches!(nan.partial_cmp(&test.bound), Some(o) if o.is_le()));
            assert!(error(test, Mutant::None).is_finite(), "{}", test.name);
        }
    }

    #[test]
    fn a_causal_test_of_ones_is_known_exactly() {
        let causal = PUBLISHED.iter().find(|test| test.inputs == Inputs::OnesCausal).unwrap();
        let (head, visibility) = causal.inputs(3, 0).unwrap();
        let mut dual = SharedDual::new(1, 1);
        head.key_values(0..3).into_iter().try_for_each(|pair| dual.step(pair)).unwrap();
        let exact = dual.predict_all(&head.queries, visibility).unwrap();
        for (found, wanted) in exact.entries().iter().zip([1.0, 1.0 / 2.0, 1.0 / 3.0]) {
            assert!((found - wanted).abs() < 1e-15);
        }
        // equal keys have equal features: the estimate is exact, too
        assert!(error(causal, Mutant::None) < 1e-12);
        // without the first of them, the second and third see only zeros
        assert!((error(causal, Mutant::OneFewer) - 0.5).abs() < 1e-12);
    }
}
