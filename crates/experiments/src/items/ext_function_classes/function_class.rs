//! Function classes and prompt strategies of S. Garg et al. (2022), for prompts of any number of
//! demonstrations.

use crate::regression::Problem;
use icl_model::prompt::{PromptBatch, PromptShape, PromptSource};
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::{Draws, Stream};
use std::borrow::Cow;

/// Function classes; inputs are `N(0, I)`, `E f(x)^2 = d` for the first two.
pub(crate) const CLASSES: [&str; 4] = ["linear", "sparse linear", "quadratic", "two-layer relu"];

/// How a prompt differs from those of training. An orthogonal query is so to the first `d - 1` inputs.
pub(crate) const STRATEGIES: [&str; 9] = [
    "standard",
    "inputs halved",
    "inputs doubled",
    "labels doubled",
    "noisy labels",
    "half subspace",
    "skewed inputs",
    "random quadrants",
    "orthogonal query",
];

const NON_ZERO: usize = 3;
const HIDDEN: usize = 20;

/// A function drawn from a class.
enum Function {
    Linear(Vec<f64>),
    Quadratic(Vec<f64>),
    Relu { inner: Vec<Vec<f64>>, outer: Vec<f64> },
}

impl Function {
    fn draw(class: &str, d: usize, draws: &mut Draws<'_>) -> Self {
        let mut normals = |n: usize| (0..n).map(|_| draws.normal()).collect::<Vec<f64>>();
        match class {
            "linear" => Self::Linear(normals(d)),
            "sparse linear" => {
                // the class is symmetric in the coordinates, inputs too: the first ones will do
                let scale = (d as f64 / NON_ZERO.min(d) as f64).sqrt();
                let weights = normals(d);
                let keep = |(i, w): (usize, f64)| if i < NON_ZERO { scale * w } else { 0.0 };
                Self::Linear(weights.into_iter().enumerate().map(keep).collect())
            }
            "quadratic" => Self::Quadratic(normals(d)),
            _ => Self::Relu {
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

/// Prompt `p` of a stream; fewer demonstrations are a prefix of more.
pub(crate) fn problem(
    stream: &Stream,
    p: u64,
    [n, d]: [usize; 2],
    class: &str,
    strategy: &str,
) -> Problem {
    let mut draws = stream.sample(p);
    let function = Function::draw(class, d, &mut draws);
    let mut input = || -> Vec<f64> { (0..d).map(|_| draws.normal()).collect() };
    let mut query = input();
    let mut x: Vec<Vec<f64>> = (0..n).map(|_| input()).collect();
    let signs: Vec<f64> = input().iter().map(|s| s.signum()).collect();
    let noise: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
    let everywhere =
        |x: &mut Vec<Vec<f64>>, query: &mut Vec<f64>, f: &dyn Fn(usize, f64) -> f64| {
            for point in x.iter_mut().chain(std::iter::once(query)) {
                point.iter_mut().enumerate().for_each(|(i, t)| *t = f(i, *t));
            }
        };
    let skew: Vec<f64> = (1..=d).map(|i| 1.0 / i as f64).collect();
    let norm = (d as f64 / order::sum_of_squares(&skew)).sqrt();
    match strategy {
        "inputs halved" => everywhere(&mut x, &mut query, &|_, t| 0.5 * t),
        "inputs doubled" => everywhere(&mut x, &mut query, &|_, t| 2.0 * t),
        "half subspace" => {
            let scale = (d as f64 / d.div_ceil(2) as f64).sqrt();
            let half = d.div_ceil(2);
            everywhere(&mut x, &mut query, &|i, t| if i < half { scale * t } else { 0.0 });
        }
        "skewed inputs" => everywhere(&mut x, &mut query, &|i, t| norm * skew[i] * t),
        "random quadrants" => {
            // demonstrations in one orthant, the query anywhere
            x.iter_mut().for_each(|x| {
                x.iter_mut().zip(&signs).for_each(|(t, s)| *t = t.abs() * s);
            });
        }
        "orthogonal query" => query = orthogonal(&query, &x[..n.min(d - 1)]),
        _ => {}
    }
    let mut y: Vec<f64> = x.iter().map(|x| function.at(x)).collect();
    let mut target = function.at(&query);
    match strategy {
        "labels doubled" => {
            y.iter_mut().for_each(|y| *y *= 2.0);
            target *= 2.0;
        }
        "noisy labels" => y.iter_mut().zip(&noise).for_each(|(y, z)| *y += z),
        _ => {}
    }
    Problem { x, y, query, target, noise }
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

/// Prompts of a class for a Transformer.
pub(crate) struct ClassSource {
    pub(crate) stream: Stream,
    pub(crate) class: &'static str,
    pub(crate) strategy: &'static str,
    pub(crate) d: usize,
    pub(crate) n_demos: Demonstrations,
}

/// Number of demonstrations of a batch.
pub(crate) enum Demonstrations {
    /// Always the same.
    Fixed(usize),
    /// From one to `largest`, one after the other, changing every `every` prompts.
    Cycle { largest: usize, every: u64 },
}

impl PromptSource for ClassSource {
    fn batch(&self, first: u64, n: usize) -> Cow<'_, PromptBatch> {
        let n_demos = match self.n_demos {
            Demonstrations::Fixed(n) => n,
            Demonstrations::Cycle { largest, every } => {
                1 + (first / every % largest as u64) as usize
            }
        };
        let prompt = |p: u64| {
            let problem = problem(&self.stream, p, [n_demos, self.d], self.class, self.strategy);
            let token = |x: &[f64], y: f64| -> Vec<f32> {
                x.iter().chain([&y]).map(|t| *t as f32).collect()
            };
            let demos = problem.x.iter().zip(&problem.y).map(|(x, y)| token(x, *y));
            let tokens = demos.chain([token(&problem.query, 0.0)]).collect();
            (tokens, vec![problem.target as f32])
        };
        let prompts: Vec<_> = (first..first + n as u64).map(prompt).collect();
        let shape = PromptShape { n_demos, d_t: self.d, d_s: 1 };
        Cow::Owned(PromptBatch::from_prompts(shape, &prompts))
    }
}
