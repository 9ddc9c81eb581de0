//! Floors beside quadrature, closed forms, and an independent calculation.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use dual_model::floor::{Branch, Kind, Negatives, Problem, Query, Sampling, at, floor};
use icl_numerics::math;
use icl_numerics::threads::Threads;

fn branches(problem: &Problem) -> Vec<Branch> {
    floor(problem, Sampling::default(), &Threads::new(2).unwrap()).unwrap().branches
}

/// Within five standard errors of what the floor is, and another error that the reference has.
fn assert_near(found: &Branch, want: f64, error: f64) {
    let bound = 5.0 * found.standard_error + error;
    assert!((found.nmse - want).abs() <= bound, "{found:?}: expected {want} within {bound}");
}

/// Nodes and weights of Gauss and Legendre for means over `(-1, 1)`.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let node = |i: usize| {
        let mut x = math::cos(std::f64::consts::PI * (i as f64 + 0.75) / (n as f64 + 0.5));
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut below, mut value) = (1.0, x);
            for k in 2..=n {
                let k = k as f64;
                (below, value) = (value, ((2.0 * k - 1.0) * x * value - (k - 1.0) * below) / k);
            }
            slope = n as f64 * (below - x * value) / (1.0 - x * x);
            x -= value / slope;
        }
        (x, 1.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(node).collect()
}

#[test]
fn the_quadrature_of_the_tests_is_exact_for_polynomials() {
    let mean = |f: fn(f64) -> f64| gauss_legendre(9).iter().map(|(x, w)| w * f(*x)).sum::<f64>();
    assert!((mean(|_| 1.0) - 1.0).abs() < 1e-14);
    assert!((mean(|x| math::powi(x, 16)) - 1.0 / 17.0).abs() < 1e-14);
}

/// Two demonstrations of one dimension, by nested quadrature: the loss at the best scales, for one `beta` a head.
fn two_by_quadrature(betas: &[f64], inside: bool, negative: f64) -> f64 {
    let nodes = gauss_legendre(40);
    let (mut a, mut b) = ([0.0; 2], [0.0; 3]);
    for (q, wq) in &nodes {
        for (x, wx) in &nodes {
            for (y, wy) in &nodes {
                let s = |beta: f64| {
                    let own = if inside { math::exp(beta * q * q) } else { 0.0 };
                    let (ex, ey) = (math::exp(beta * x * q), math::exp(beta * y * q));
                    (ex * (x - negative * y) + ey * (y - negative * x)) / (ex + ey + own)
                };
                let s: Vec<f64> = betas.iter().map(|beta| s(*beta)).collect();
                let (first, second) = (s[0], s.get(1).copied().unwrap_or(0.0));
                let weight = wq * wx * wy;
                a[0] += weight * first * q;
                a[1] += weight * second * q;
                b[0] += weight * first * first;
                b[1] += weight * first * second;
                b[2] += weight * second * second;
            }
        }
    }
    if betas.len() == 1 {
        return 1.0 - 3.0 * a[0] * a[0] / b[0];
    }
    let explained = a[0] * a[0] * b[2] - 2.0 * a[0] * a[1] * b[1] + a[1] * a[1] * b[0];
    1.0 - 3.0 * explained / (b[0] * b[2] - b[1] * b[1])
}

/// Enough for a test at given scores.
const MANY: Sampling = Sampling { prompts: Some(1 << 17), seed: 0 };

const SMALL: Problem = Problem {
    n_demos: 2,
    d_t: 1,
    half_width: 1.0,
    heads: 1,
    query: Query::Inside,
    negatives: None,
};

#[test]
fn losses_at_given_scores_are_those_of_a_nested_quadrature() {
    let problem = |heads: usize, inside: bool, negative: f64| Problem {
        heads,
        query: if inside { Query::Inside } else { Query::Outside },
        negatives: Some(Negatives { m: 1, beta: negative }),
        ..SMALL
    };
    let cases: [(&[f64], bool, f64); 7] = [
        (&[2.0], true, 0.0),
        (&[-2.0], true, 0.0),
        (&[4.0], false, 0.0),
        (&[3.0], true, 0.6),
        (&[-3.0], false, 0.3),
        (&[1.0, -3.0], true, 0.0),
        (&[2.0, -1.0], false, 0.5),
    ];
    for (betas, inside, negative) in cases {
        let problem = problem(betas.len(), inside, negative);
        let found = at(&problem, betas, MANY, &Threads::One).unwrap();
        let want = two_by_quadrature(betas, inside, negative);
        assert_near(&found, want, 0.0);
        assert!(found.standard_error <= 4e-3 * found.nmse, "{found:?}");
    }
}

#[test]
fn minima_are_those_of_a_nested_quadrature() {
    for found in branches(&SMALL) {
        // the quadrature on a fine grid of scores; the loss is flat at its minimum
        let sign = if found.kind == Kind::Aligned { 1.0 } else { -1.0 };
        let grid = (0..160).map(|i| sign * math::exp(0.04 * f64::from(i) - 3.0));
        let losses = grid.map(|beta| two_by_quadrature(&[beta], true, 0.0));
        let want = losses.fold(f64::INFINITY, |low, loss| if loss < low { loss } else { low });
        assert_near(&found, want, 1e-3 * want);
        // the promise of the default number of prompts
        assert!(found.standard_error <= 4.5e-4 * found.nmse, "{found:?}");
    }
}

/// One demonstration without the query: the prediction is the label of another input, whatever the scores.
#[test]
fn one_demonstration_without_the_query_says_nothing() {
    for d_t in [1, 4] {
        let problem = Problem { n_demos: 1, d_t, query: Query::Outside, ..SMALL };
        for found in branches(&problem) {
            assert!((found.nmse - 1.0).abs() < 1e-12, "{found:?}");
            assert!(found.heads[0].c.abs() < 1e-12 && found.standard_error < 1e-9, "{found:?}");
            assert_eq!(found.heads[0].query_mass, 0.0);
        }
    }
}

/// As `N` grows, `s` becomes the mean of `x` under the density `exp(beta x . x_q)` on the cube, which is a product:
/// coordinate `k` is `L(beta x_qk)`, `L(t) = coth t - 1/t`. What is left is of order `1/N`, and is taken off by two sizes.
#[test]
fn many_demonstrations_smooth_as_the_density_does() {
    let langevin = |t: f64| 1.0 / math::tanh(t) - 1.0 / t;
    for (beta, query) in [(6.0, Query::Outside), (-6.0, Query::Inside)] {
        let mean =
            |f: &dyn Fn(f64) -> f64| gauss_legendre(40).iter().map(|(x, w)| w * f(*x)).sum::<f64>();
        let along = mean(&|x| x * langevin(beta * x));
        let square = mean(&|x| langevin(beta * x) * langevin(beta * x));
        let want = 1.0 - 3.0 * along * along / square;
        let [half, whole] = [512, 1024].map(|n_demos| {
            let problem = Problem { n_demos, d_t: 2, query, ..SMALL };
            at(&problem, &[beta], MANY, &Threads::new(2).unwrap()).unwrap()
        });
        let limit = 2.0 * whole.nmse - half.nmse;
        let error = 2.0 * whole.standard_error + half.standard_error;
        // the second order of 1/N: the first one, squared
        let second = (half.nmse - whole.nmse) * (half.nmse - whole.nmse) / want;
        assert!((limit - want).abs() < 4.0 * error + 4.0 * second, "{limit} {want}");
    }
}

/// An independent calculation with 400 000 prompts and no control variates, to four digits, standard errors .0003.
#[test]
fn the_floors_of_the_figures_are_those_of_an_independent_calculation() {
    let outside = Problem { query: Query::Outside, ..Problem::default() };
    let one = branches(&Problem::default());
    assert_near(&one[0], 0.7145, 9e-4);
    assert_near(&one[1], 0.6265, 9e-4);
    assert!((one[0].heads[0].c - 2.44).abs() < 0.05, "{one:?}");
    assert!((0.45..0.55).contains(&one[0].heads[0].query_mass), "{one:?}");
    assert!((one[1].heads[0].beta + 1.49).abs() < 0.05, "{one:?}");
    assert!(one[1].heads[0].query_mass < 1e-3, "{one:?}");
    for found in branches(&outside) {
        assert_near(&found, 0.6266, 9e-4);
    }
    let two =
        floor(&Problem { heads: 2, ..outside }, Sampling::default(), &Threads::new(2).unwrap())
            .unwrap();
    assert_near(two.lowest(), 0.4318, 9e-4);
    let two = branches(&Problem { heads: 2, ..Problem::default() });
    assert_near(&two[3], 0.4338, 9e-4);
    // pairs that do best where beta tends to zero; the range ends at a score of sd 2^-7, off by its order
    let [equal, free] = small_score_limits(15.0, 11.0);
    assert_near(&two[2], equal, 2e-4);
    assert_near(&two[0], free, 4e-4);
    assert_near(&two[1], free, 4e-4);
}

/// Two heads with the query inside, as `beta` tends to zero: their difference is, to first order,
/// `f = sum_i x_i u_i - S (sum_i u_i + |x_q|^2) / (N + 1)` with `S = sum_i x_i`, `u_i = x_i . x_q`. The loss of the best
/// multiple of `f`, and of the best combination of `f` and `S`, from the moments of `U(-1, 1)`.
fn small_score_limits(n: f64, d: f64) -> [f64; 2] {
    let (m2, m4) = (1.0 / 3.0, 1.0 / 5.0);
    let fourth = d * m4 + d * (d - 1.0) * m2 * m2;
    let step = n * m2 * fourth + n * (n - 1.0) * d * m2 * m2 * m2;
    let sum_fourth = n * fourth + n * (n - 1.0) * (d * d + 2.0 * d) * m2 * m2;
    let along = n * n * d * m2 * m2 / (n + 1.0);
    let own = (m2 * sum_fourth + n * d * m2 * fourth) / ((n + 1.0) * (n + 1.0));
    let square = step * (1.0 - 2.0 / (n + 1.0)) + own;
    let [sum_square, sum_step] = [n * d * m2, -n * d * m2 * d * m2 / (n + 1.0)];
    let loss = |square: f64| 1.0 - along * along / (square * d * m2);
    [loss(square), loss(square - sum_step * sum_step / sum_square)]
}

#[test]
fn bits_do_not_depend_on_threads_and_half_width_moves_the_scores_alone() {
    let negatives = Some(Negatives { m: 2, beta: 0.5 });
    let problem = Problem { n_demos: 5, d_t: 3, heads: 2, negatives, ..SMALL };
    let sampling = Sampling { prompts: Some(40_000), seed: 9 };
    let one = floor(&problem, sampling, &Threads::One).unwrap();
    assert_eq!(one.prompts, 40_448, "rounded up to a multiple of 512");
    for threads in [2, 5] {
        let more = floor(&problem, sampling, &Threads::new(threads).unwrap()).unwrap();
        assert_eq!(one, more, "{threads} threads");
    }
    let wide = floor(&Problem { half_width: 4.0, ..problem }, sampling, &Threads::One).unwrap();
    for (one, wide) in one.branches.iter().zip(&wide.branches) {
        assert_eq!((one.nmse, one.heads[0].c), (wide.nmse, wide.heads[0].c));
        assert_eq!(one.heads[0].beta / 16.0, wide.heads[0].beta);
    }
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let negatives = |m, beta| Some(Negatives { m, beta });
    let base = Problem::default();
    let cases = [
        (Problem { n_demos: 0, ..base }, "n: found 0"),
        (Problem { n_demos: 1025, ..base }, "n: found 1025"),
        (Problem { n_demos: 257, negatives: negatives(3, 0.5), ..base }, "n: found 257"),
        (Problem { d_t: 0, ..base }, "d-t: found 0"),
        (Problem { heads: 3, ..base }, "heads: found 3"),
        (Problem { half_width: f64::NAN, ..base }, "half-width: found NaN"),
        (Problem { half_width: f64::INFINITY, ..base }, "half-width: found inf"),
        (Problem { half_width: 0.0, ..base }, "half-width: found 0"),
        (Problem { negatives: negatives(15, 0.5), ..base }, "negative m: found 15"),
        (Problem { negatives: negatives(0, 0.5), ..base }, "negative m: found 0"),
        (Problem { negatives: negatives(3, f64::NAN), ..base }, "negative beta: found NaN"),
        (Problem { negatives: negatives(3, -1.0), ..base }, "negative beta: found -1"),
    ];
    for (problem, part) in cases {
        let error = floor(&problem, Sampling::default(), &Threads::One).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("expected"), "{part}: {error}");
    }
    let few = Sampling { prompts: Some(10), seed: 0 };
    assert!(
        floor(&base, few, &Threads::One).unwrap_err().to_string().contains("prompts: found 10")
    );
    for betas in [&[][..], &[1.0, 2.0], &[f64::NAN]] {
        assert!(at(&base, betas, Sampling::default(), &Threads::One).is_err(), "{betas:?}");
    }
}
