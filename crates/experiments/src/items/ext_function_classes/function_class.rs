//! Function classes and prompt strategies of S. Garg et al. (2022), for prompts of any number of
//! demonstrations.

use crate::named::named;
use crate::regression::Problem;
use icl_model::prompt::{PromptBatch, PromptShape, PromptSource};
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::{Draws, Stream};
use std::borrow::Cow;

named! {
    /// Function classes; inputs are `N(0, I)`, `E f(x)^2 = d` for the first two.
    pub(crate) enum FunctionClass {
        /// `w . x`.
        Linear = "linear",
        /// `w . x` with three weights that are not zero.
        SparseLinear = "sparse linear",
        /// `w . x^2 / sqrt(3)`, squares by entry.
        Quadratic = "quadratic",
        /// Two layers, `max(x, 0)` between them.
        Relu = "two-layer relu",
    }
}

named! {
    /// How a prompt differs from those of training.
    pub(crate) enum Strategy {
        /// Not at all.
        Standard = "standard",
        /// All inputs times one half.
        InputsHalved = "inputs halved",
        /// All inputs times two.
        InputsDoubled = "inputs doubled",
        /// All labels times two.
        LabelsDoubled = "labels doubled",
        /// Normal numbers are added to the demonstrations' labels.
        NoisyLabels = "noisy labels",
        /// Inputs in the first half of the coordinates, at their mean square.
        HalfSubspace = "half subspace",
        /// Coordinate `i` in proportion to `1 / i`.
        SkewedInputs = "skewed inputs",
        /// Demonstrations in one orthant, the query anywhere.
        RandomQuadrants = "random quadrants",
        /// A query orthogonal to the first `d - 1` inputs.
        OrthogonalQuery = "orthogonal query",
    }
}

const NON_ZERO: usize = 3;
const HIDDEN: usize = 20;

/// A function drawn from a class.
enum Function {
    Linear(Vec<f64>),
    Quadratic(Vec<f64>),
    Relu { inner: Vec<Vec<f64>>, outer: Vec<f64> },
}

impl Function {
    fn draw(class: FunctionClass, d: usize, draws: &mut Draws<'_>) -> Self {
        let mut normals = |n: usize| (0..n).map(|_| draws.normal()).collect::<Vec<f64>>();
        match class {
            FunctionClass::Linear => Self::Linear(normals(d)),
            FunctionClass::SparseLinear => {
                // the class is symmetric in the coordinates, inputs too: the first ones will do
                let scale = (d as f64 / NON_ZERO.min(d) as f64).sqrt();
                let weights = normals(d);
                let keep = |(i, w): (usize, f64)| if i < NON_ZERO { scale * w } else { 0.0 };
                Self::Linear(weights.into_iter().enumerate().map(keep).collect())
            }
            FunctionClass::Quadratic => Self::Quadratic(normals(d)),
            FunctionClass::Relu => Self::Relu {
                inner: (0..HIDDEN).map(|_| normals(d)).collect(),
                outer: normals(HIDDEN),
            },
        }
    }

    fn at(&self, x: &[f64]) -> f64 {
        match self {
            Self::Linear(w) => order::dot(w, x),
            Self::Quadratic(w) => {
                let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
                order::dot(w, &squares) / 3.0_f64.sqrt()
            }
            Self::Relu { inner, outer } => {
                let hidden: Vec<f64> =
                    inner.iter().map(|w| largest::at_least(order::dot(w, x), 0.0)).collect();
                order::dot(outer, &hidden) * (2.0 / HIDDEN as f64).sqrt()
            }
        }
    }
}

/// What prompts are drawn: sizes, class and strategy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prompts {
    pub(crate) class: FunctionClass,
    pub(crate) strategy: Strategy,
    pub(crate) n_demos: usize,
    pub(crate) d: usize,
}

impl Prompts {
    /// Prompt `p` of a stream; fewer demonstrations are a prefix of more.
    pub(crate) fn problem(self, stream: &Stream, p: u64) -> Problem {
        let Self { class, strategy, n_demos: n, d } = self;
        let mut draws = stream.sample(p);
        let function = Function::draw(class, d, &mut draws);
        let mut input = || -> Vec<f64> { (0..d).map(|_| draws.normal()).collect() };
        let mut query = input();
        let mut x: Vec<Vec<f64>> = (0..n).map(|_| input()).collect();
        let signs: Vec<f64> = input().iter().map(|s| s.signum()).collect();
        let noise: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
        strategy.change_inputs(&mut x, &mut query, &signs);
        let mut y: Vec<f64> = x.iter().map(|x| function.at(x)).collect();
        let mut target = function.at(&query);
        if strategy == Strategy::LabelsDoubled {
            y.iter_mut().for_each(|y| *y *= 2.0);
            target *= 2.0;
        }
        if strategy == Strategy::NoisyLabels {
            y.iter_mut().zip(&noise).for_each(|(y, z)| *y += z);
        }
        Problem { x, y, query, target, noise }
    }
}

impl Strategy {
    /// What the strategy does to the inputs of the demonstrations and of the query; `signs` are those of an
    /// orthant.
    fn change_inputs(self, x: &mut [Vec<f64>], query: &mut Vec<f64>, signs: &[f64]) {
        let d = query.len();
        let mut everywhere = |f: &dyn Fn(usize, f64) -> f64| {
            for point in x.iter_mut().chain(std::iter::once(&mut *query)) {
                point.iter_mut().enumerate().for_each(|(i, t)| *t = f(i, *t));
            }
        };
        match self {
            Self::InputsHalved => everywhere(&|_, t| 0.5 * t),
            Self::InputsDoubled => everywhere(&|_, t| 2.0 * t),
            Self::HalfSubspace => {
                let half = d.div_ceil(2);
                let scale = (d as f64 / half as f64).sqrt();
                everywhere(&|i, t| if i < half { scale * t } else { 0.0 });
            }
            Self::SkewedInputs => {
                let skew: Vec<f64> = (1..=d).map(|i| 1.0 / i as f64).collect();
                let norm = (d as f64 / order::sum_of_squares(&skew)).sqrt();
                everywhere(&|i, t| norm * skew[i] * t);
            }
            Self::RandomQuadrants => x.iter_mut().for_each(|x| {
                x.iter_mut().zip(signs).for_each(|(t, s)| *t = t.abs() * s);
            }),
            Self::OrthogonalQuery => *query = orthogonal(query, &x[..x.len().min(d - 1)]),
            Self::Standard | Self::LabelsDoubled | Self::NoisyLabels => {}
        }
    }
}

/// The part of `query` that is orthogonal to `x` (fewer than `d` inputs), at the query's own length.
fn orthogonal(query: &[f64], x: &[Vec<f64>]) -> Vec<f64> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let remove = |v: &[f64], basis: &[Vec<f64>]| {
        let mut rest = v.to_vec();
        for e in basis.iter().chain(basis) {
            let along = order::dot(e, &rest);
            rest.iter_mut().zip(e).for_each(|(r, e)| *r -= along * e);
        }
        rest
    };
    for point in x {
        let rest = remove(point, &basis);
        let norm = order::sum_of_squares(&rest).sqrt();
        if norm > 1e-9 {
            basis.push(rest.into_iter().map(|r| r / norm).collect());
        }
    }
    let rest = remove(query, &basis);
    let scale = order::sum_of_squares(query).sqrt()
        / largest::at_least(order::sum_of_squares(&rest).sqrt(), 1e-12);
    rest.into_iter().map(|r| scale * r).collect()
}

/// Prompts for a Transformer.
pub(crate) struct ClassSource {
    pub(crate) stream: Stream,
    pub(crate) prompts: Prompts,
    pub(crate) demonstrations: Demonstrations,
}

/// Number of demonstrations of a batch.
pub(crate) enum Demonstrations {
    /// As many as the prompts say.
    All,
    /// From one to so many, one after the other, changing every `every` prompts.
    Cycle { every: u64 },
}

impl PromptSource for ClassSource {
    fn batch(&self, first: u64, n: usize) -> Cow<'_, PromptBatch> {
        let most = self.prompts.n_demos;
        let n_demos = match self.demonstrations {
            Demonstrations::All => most,
            Demonstrations::Cycle { every } => 1 + (first / every % most as u64) as usize,
        };
        let prompts = Prompts { n_demos, ..self.prompts };
        let prompt = |p: u64| {
            let problem = prompts.problem(&self.stream, p);
            let token = |x: &[f64], y: f64| -> Vec<f32> {
                x.iter().chain([&y]).map(|t| *t as f32).collect()
            };
            let demos = problem.x.iter().zip(&problem.y).map(|(x, y)| token(x, *y));
            let tokens = demos.chain([token(&problem.query, 0.0)]).collect();
            (tokens, vec![problem.target as f32])
        };
        let all: Vec<_> = (first..first + n as u64).map(prompt).collect();
        let shape = PromptShape { n_demos, d_t: prompts.d, d_s: 1 };
        Cow::Owned(PromptBatch::from_prompts(shape, &all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::Named as _;

    fn prompts(class: FunctionClass, strategy: Strategy, n_demos: usize) -> Prompts {
        Prompts { class, strategy, n_demos, d: 6 }
    }

    fn problem(strategy: Strategy, n_demos: usize) -> Problem {
        let stream = Stream::new(4, "test/strategies");
        prompts(FunctionClass::Linear, strategy, n_demos).problem(&stream, 0)
    }

    #[test]
    fn values_of_every_class_have_mean_square_d() {
        let stream = Stream::new(3, "test/classes");
        for class in FunctionClass::ALL {
            let square = |p| {
                let target = prompts(*class, Strategy::Standard, 1).problem(&stream, p).target;
                target * target
            };
            let squares: Vec<f64> = (0..20_000).map(square).collect();
            let mean = order::mean(&squares).unwrap();
            let error = (order::variance(&squares).unwrap() / squares.len() as f64).sqrt();
            // five standard errors: one seed in two million misses them
            assert!((mean - 6.0).abs() < 5.0 * error, "{class:?}: {mean} {error}");
        }
    }

    #[test]
    fn fewer_demonstrations_are_a_prefix_of_more() {
        for strategy in Strategy::ALL.iter().filter(|one| **one != Strategy::OrthogonalQuery) {
            // all that comes after the demonstrations is drawn after them, and so is another draw
            if matches!(strategy, Strategy::NoisyLabels | Strategy::RandomQuadrants) {
                continue;
            }
            let (few, many) = (problem(*strategy, 3), problem(*strategy, 9));
            assert_eq!((&few.x[..], &few.y[..]), (&many.x[..3], &many.y[..3]), "{strategy:?}");
            assert_eq!((few.query, few.target), (many.query, many.target), "{strategy:?}");
        }
    }

    #[test]
    fn strategies_change_what_they_say() {
        let standard = problem(Strategy::Standard, 4);
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        let times = |c: f64, x: &[f64]| x.iter().map(|x| c * x).collect::<Vec<f64>>();
        for (strategy, factor) in [(Strategy::InputsHalved, 0.5), (Strategy::InputsDoubled, 2.0)] {
            let changed = problem(strategy, 4);
            assert!(close(&changed.query, &times(factor, &standard.query)));
            assert!(close(&changed.y, &times(factor, &standard.y)));
        }
        let doubled = problem(Strategy::LabelsDoubled, 4);
        assert!(doubled.x == standard.x && close(&doubled.y, &times(2.0, &standard.y)));
        let noisy = problem(Strategy::NoisyLabels, 4);
        let noise: Vec<f64> = noisy.y.iter().zip(&standard.y).map(|(a, b)| a - b).collect();
        assert!(close(&noise, &noisy.noise) && noisy.target == standard.target);
        let half = problem(Strategy::HalfSubspace, 4);
        assert!(half.x.iter().all(|x| x[3..] == [0.0; 3]) && half.query[3..] == [0.0; 3]);
        let quadrants = problem(Strategy::RandomQuadrants, 4);
        let signs: Vec<f64> = quadrants.x[0].iter().map(|x| x.signum()).collect();
        let same = |x: &Vec<f64>| x.iter().zip(&signs).all(|(x, s)| x.signum() == *s);
        assert!(quadrants.x.iter().all(same));
        let orthogonal = problem(Strategy::OrthogonalQuery, 4);
        let products = orthogonal.x.iter().map(|x| order::dot(x, &orthogonal.query).abs());
        assert!(largest::value(products) < 1e-12);
        let length = |x: &[f64]| order::sum_of_squares(x).sqrt();
        assert!((length(&orthogonal.query) - length(&standard.query)).abs() < 1e-12);
    }
}
