//! Prompts of a function class, and the strategies of S. Garg et al. (2022) by which they differ from those of training.
//!
//! Known differences from the code that goes with the source (github dtsip/in-context-learning, `samplers.py`, `eval.py`):
//! a random basis is drawn for every prompt, not once for all; noisy labels are not rescaled; the query that is orthogonal
//! to the first `d - 1` inputs comes after all demonstrations, not after as many.

use super::function_class::{Function, FunctionClass, Sizes, normals};
use super::stretch::{Stretch, orthogonal};
use crate::named::named;
use crate::regression::Problem;
use icl_model::prompt::{PromptBatch, PromptShape, PromptSource};
use icl_numerics::stream::{Draws, Stream};
use std::borrow::Cow;

named! {
    /// How a prompt differs from those of training.
    pub(super) enum Strategy {
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
        /// Inputs in a random subspace of dimension `d / 2`, at their mean square.
        HalfSubspace = "half subspace",
        /// Coordinate `i` of a random orthonormal basis in proportion to `1 / i`.
        SkewedInputs = "skewed inputs",
        /// Demonstrations in one orthant, the query anywhere.
        RandomQuadrants = "random quadrants",
        /// A query orthogonal to the first `d - 1` inputs.
        OrthogonalQuery = "orthogonal query",
    }
}

/// What prompts are drawn: sizes, class and strategy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prompts {
    pub(super) class: FunctionClass,
    pub(super) strategy: Strategy,
    pub(super) n_demos: usize,
    pub(super) sizes: Sizes,
}

impl Prompts {
    /// Prompt `p` of a stream. Fewer demonstrations are a prefix of more, where the strategy draws nothing.
    pub(super) fn problem(self, stream: &Stream, p: u64) -> Problem {
        let Self { class, strategy, n_demos: n, sizes } = self;
        let mut draws = stream.sample(p);
        let function = Function::draw(class, sizes, &mut draws);
        let mut query = normals(&mut draws, sizes.d);
        let mut x: Vec<Vec<f64>> = (0..n).map(|_| normals(&mut draws, sizes.d)).collect();
        strategy.change_inputs(&mut x, &mut query, &mut draws);
        let mut y: Vec<f64> = x.iter().map(|x| function.at(x)).collect();
        let mut target = function.at(&query);
        let mut noise = Vec::new();
        match strategy {
            Strategy::LabelsDoubled => {
                y.iter_mut().chain([&mut target]).for_each(|y| *y *= 2.0);
            }
            Strategy::NoisyLabels => {
                noise = normals(&mut draws, n);
                y.iter_mut().zip(&noise).for_each(|(y, z)| *y += z);
            }
            _ => {}
        }
        Problem { x, y, query, target, noise }
    }
}

impl Strategy {
    /// What the strategy does to the inputs of the demonstrations and of the query.
    fn change_inputs(self, x: &mut [Vec<f64>], query: &mut Vec<f64>, draws: &mut Draws<'_>) {
        let d = query.len();
        let everywhere = |x: &mut [Vec<f64>], query: &mut Vec<f64>, f: &dyn Fn(&mut Vec<f64>)| {
            x.iter_mut().chain(std::iter::once(query)).for_each(f);
        };
        let times = |c: f64| move |x: &mut Vec<f64>| x.iter_mut().for_each(|t| *t *= c);
        match self {
            Self::InputsHalved => everywhere(x, query, &times(0.5)),
            Self::InputsDoubled => everywhere(x, query, &times(2.0)),
            Self::HalfSubspace => {
                let spectrum: Vec<f64> = (0..d).map(|i| f64::from(i < d / 2)).collect();
                let stretch = Stretch::draw(&spectrum, draws);
                everywhere(x, query, &|x| stretch.apply(x));
            }
            Self::SkewedInputs => {
                let spectrum: Vec<f64> = (1..=d).map(|i| 1.0 / i as f64).collect();
                let stretch = Stretch::draw(&spectrum, draws);
                everywhere(x, query, &|x| stretch.apply(x));
            }
            Self::RandomQuadrants => {
                let signs = normals(draws, d);
                for x in x {
                    x.iter_mut().zip(&signs).for_each(|(t, s)| *t = t.abs() * s.signum());
                }
            }
            Self::OrthogonalQuery => *query = orthogonal(query, &x[..x.len().min(d - 1)]),
            Self::Standard | Self::LabelsDoubled | Self::NoisyLabels => {}
        }
    }
}

/// Prompts for a Transformer.
pub(super) struct ClassSource {
    pub(super) stream: Stream,
    pub(super) prompts: Prompts,
    pub(super) demonstrations: Demonstrations,
}

/// Number of demonstrations of a batch.
pub(super) enum Demonstrations {
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
        let shape = PromptShape { n_demos, d_t: prompts.sizes.d, d_s: 1 };
        Cow::Owned(PromptBatch::from_prompts(shape, &all))
    }
}

#[cfg(test)]
mod tests {
    use super::super::stretch::{orthonormal, remove};
    use super::*;
    use icl_numerics::{largest, order};

    fn prompts(class: FunctionClass, strategy: Strategy, n_demos: usize) -> Prompts {
        Prompts { class, strategy, n_demos, sizes: Sizes { d: 6, non_zero: 2, hidden: 8 } }
    }

    fn problem(strategy: Strategy, n_demos: usize) -> Problem {
        let stream = Stream::new(4, "test/strategies");
        prompts(FunctionClass::Linear, strategy, n_demos).problem(&stream, 0)
    }

    #[test]
    fn fewer_demonstrations_are_a_prefix_of_more() {
        // what the other strategies need is drawn after the demonstrations
        for strategy in [Strategy::Standard, Strategy::InputsHalved, Strategy::LabelsDoubled] {
            let (few, many) = (problem(strategy, 3), problem(strategy, 9));
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

    /// Inputs of a strategy that stretches: their second moment times `d`, over prompts.
    fn gram(strategy: Strategy, p: u64) -> Vec<Vec<f64>> {
        let stream = Stream::new(5, "test/stretch");
        prompts(FunctionClass::Linear, strategy, 40).problem(&stream, p).x
    }

    #[test]
    fn half_of_the_space_is_another_one_in_every_prompt() {
        let [first, second] = [0, 1].map(|p| gram(Strategy::HalfSubspace, p));
        let basis = orthonormal(&first);
        assert_eq!((basis.len(), orthonormal(&second).len()), (3, 3));
        let left = |x: &Vec<f64>| order::sum_of_squares(&remove(x, &basis));
        assert!(largest::value(first.iter().map(left)) < 1e-18);
        assert!(largest::value(second.iter().map(left)) > 0.1);
    }

    #[test]
    fn stretched_inputs_keep_their_mean_square_and_have_no_preferred_coordinate() {
        for strategy in [Strategy::HalfSubspace, Strategy::SkewedInputs] {
            let mut means = vec![0.0; 6];
            let prompts = 2000;
            for p in 0..prompts {
                for x in gram(strategy, p).iter().take(8) {
                    means.iter_mut().zip(x).for_each(|(m, x)| *m += x * x / (8 * prompts) as f64);
                }
            }
            // a coordinate's square has a standard deviation below 4 within and 2 between prompts
            let bound = 5.0 * (2.0 + 4.0 / 8.0_f64.sqrt()) / (prompts as f64).sqrt();
            assert!(means.iter().all(|m| (m - 1.0).abs() < bound), "{strategy:?}: {means:?}");
        }
    }
}
