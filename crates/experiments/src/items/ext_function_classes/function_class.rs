//! Function classes of S. Garg et al. (2022).
//!
//! Known differences from the code that goes with the source (github dtsip/in-context-learning, `tasks.py`): weights of
//! sparse functions are scaled so that values keep the mean square `d`; hidden units are fewer (a setting).

use crate::named::named;
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Draws;
use serde::{Deserialize, Serialize};

named! {
    /// Function classes; inputs are `N(0, I)`, `E f(x)^2 = d`.
    pub(super) enum FunctionClass {
        /// `w . x`.
        Linear = "linear",
        /// `w . x` with few weights that are not zero, at random places.
        SparseLinear = "sparse linear",
        /// `w . x^2 / sqrt(3)`, squares by entry.
        Quadratic = "quadratic",
        /// Two layers, `max(x, 0)` between them.
        Relu = "two-layer relu",
    }
}

/// Sizes of the classes.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(super) struct Sizes {
    /// Of an input.
    pub(super) d: usize,
    /// Weights of a sparse function that are not zero.
    pub(super) non_zero: usize,
    /// Hidden units of a function of two layers.
    pub(super) hidden: usize,
}

/// A function drawn from a class.
pub(super) enum Function {
    Linear(Vec<f64>),
    Quadratic(Vec<f64>),
    Relu { inner: Vec<Vec<f64>>, outer: Vec<f64> },
}

impl Function {
    pub(super) fn draw(class: FunctionClass, sizes: Sizes, draws: &mut Draws<'_>) -> Self {
        let Sizes { d, non_zero, hidden } = sizes;
        match class {
            FunctionClass::Linear => Self::Linear(normals(draws, d)),
            FunctionClass::SparseLinear => {
                let scale = (d as f64 / non_zero as f64).sqrt();
                let mut weights = vec![0.0; d];
                for place in draws.permutation(d).into_iter().take(non_zero) {
                    weights[place] = scale * draws.normal();
                }
                Self::Linear(weights)
            }
            FunctionClass::Quadratic => Self::Quadratic(normals(draws, d)),
            FunctionClass::Relu => Self::Relu {
                inner: (0..hidden).map(|_| normals(draws, d)).collect(),
                outer: normals(draws, hidden),
            },
        }
    }

    /// The value.
    pub(super) fn at(&self, x: &[f64]) -> f64 {
        match self {
            Self::Linear(w) => order::dot(w, x),
            Self::Quadratic(w) => {
                let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
                order::dot(w, &squares) / 3.0_f64.sqrt()
            }
            Self::Relu { inner, outer } => {
                let hidden: Vec<f64> =
                    inner.iter().map(|w| largest::at_least(order::dot(w, x), 0.0)).collect();
                order::dot(outer, &hidden) * (2.0 / hidden.len() as f64).sqrt()
            }
        }
    }
}

/// Standard normal numbers.
pub(super) fn normals(draws: &mut Draws<'_>, n: usize) -> Vec<f64> {
    (0..n).map(|_| draws.normal()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named as _;
    use icl_numerics::stream::Stream;

    const SIZES: Sizes = Sizes { d: 6, non_zero: 2, hidden: 8 };

    #[test]
    fn values_of_every_class_have_mean_square_d() {
        let stream = Stream::new(3, "test/classes");
        for class in FunctionClass::ALL {
            let square = |p| {
                let mut draws = stream.sample(p);
                let function = Function::draw(*class, SIZES, &mut draws);
                let value = function.at(&normals(&mut draws, 6));
                value * value
            };
            let squares: Vec<f64> = (0..20_000).map(square).collect();
            let mean = order::mean(&squares).unwrap();
            let error = (order::variance(&squares).unwrap() / squares.len() as f64).sqrt();
            // five standard errors: one seed in two million misses them
            assert!((mean - 6.0).abs() < 5.0 * error, "{class:?}: {mean} {error}");
        }
    }

    #[test]
    fn the_support_of_a_sparse_function_is_random_and_of_the_given_size() {
        let stream = Stream::new(7, "test/sparse");
        let mut used = [0; 6];
        for p in 0..600 {
            let function =
                Function::draw(FunctionClass::SparseLinear, SIZES, &mut stream.sample(p));
            let Function::Linear(weights) = function else { panic!("not linear") };
            assert_eq!(weights.iter().filter(|w| **w != 0.0).count(), 2);
            used.iter_mut().zip(&weights).for_each(|(n, w)| *n += i32::from(*w != 0.0));
        }
        // 200 each, standard deviation 11.5
        assert!(used.iter().all(|n| (n - 200).abs() < 58), "{used:?}");
    }
}
