//! The query side's own term `W_0 phi(q)`, which the regularised loss scales: where it is zero at the optimum.
//!
//! Theory: `docs/theory.md`, section 14. Values `[b_y y; x]` make the dual's prediction linear in the input part
//! `b_x` of the label's row of `W_V`: `[r, t]`, prediction `r + b_x . t`, so that the gradient of the loss
//! `E (prediction - y_q)^2 / 2` at `b_x = 0` is `E (r - y_q) t`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use dual_model::dual::KeyValue;
use dual_model::modification::{ModifiedLoss, predict_after_full_batch_step};
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use icl_numerics::{math, order};

const D: usize = 3;
const N: usize = 5;
/// `b_y`, and scores `x_i^T A x_q` with `A` neither symmetric nor a multiple of the identity.
const B_Y: f64 = -1.7;
const A: [[f64; D]; D] = [[-1.1, 0.3, 0.0], [-0.4, -0.8, 0.2], [0.1, 0.0, 0.6]];
const ALPHAS: [f64; 3] = [0.0, 0.5, 1.0];

/// `w`, inputs with the query's last, noise on the labels of the demonstrations and on the query's guess.
#[derive(Clone)]
struct Prompt {
    w: Vec<f64>,
    x: Vec<Vec<f64>>,
    noise: Vec<f64>,
}

/// How labels follow.
#[derive(Clone, Copy)]
struct Labels {
    answer: fn(f64) -> f64,
    noise: f64,
    /// Noise of the guess in the query's place, or a masked label.
    guess: Option<f64>,
}

impl Prompt {
    fn draw(stream: &Stream, index: u64, shift: f64) -> Self {
        let mut draws = stream.sample(index);
        let w = (0..D).map(|_| draws.normal()).collect();
        let mut input = || (0..D).map(|_| 2.0 * draws.uniform() - 1.0 + shift).collect();
        let x = (0..=N).map(|_| input()).collect();
        Self { w, x, noise: (0..=N).map(|_| draws.normal()).collect() }
    }

    /// `x -> -x`, `w -> -w`.
    fn turned(&self) -> Self {
        let minus = |x: &Vec<f64>| x.iter().map(|x| -x).collect::<Vec<f64>>();
        let x = self.x.iter().map(minus).collect();
        Self { w: minus(&self.w), x, noise: self.noise.clone() }
    }

    fn target(&self, labels: Labels) -> f64 {
        (labels.answer)(order::dot(&self.w, &self.x[N]))
    }

    /// `r` and `t`: the dual on the regularised loss.
    fn read(&self, labels: Labels, alpha: f64) -> (f64, Vec<f64>) {
        let value = |i: usize| {
            let answer = (labels.answer)(order::dot(&self.w, &self.x[i]));
            let label = match (i == N, labels.guess) {
                (false, _) => answer + labels.noise * self.noise[i],
                (true, Some(noise)) => answer + noise * self.noise[i],
                (true, None) => 0.0,
            };
            [vec![B_Y * label], self.x[i].clone()].concat()
        };
        let values: Vec<Vec<f64>> = (0..=N).map(value).collect();
        let pairs = self.x.iter().zip(&values);
        let pairs: Vec<KeyValue<'_>> = pairs.map(|(key, value)| KeyValue { key, value }).collect();
        let query: Vec<f64> = A.iter().map(|row| order::dot(row, &self.x[N])).collect();
        let loss = ModifiedLoss { alpha, ..ModifiedLoss::PLAIN };
        let (demonstrations, own) = pairs.split_at(N);
        let prediction = predict_after_full_batch_step(&loss, demonstrations, own, &query).unwrap();
        (prediction[0], prediction[1..].to_vec())
    }
}

/// Mean and standard error of every entry of `(r - y_q) t`.
fn gradient(labels: Labels, alpha: f64, shift: f64, prompts: u64) -> [(f64, f64); D] {
    let stream = Stream::new(11, "query-side");
    let mut columns: [Vec<f64>; D] = Default::default();
    for index in 0..prompts {
        let prompt = Prompt::draw(&stream, index, shift);
        let (r, t) = prompt.read(labels, alpha);
        let error = r - prompt.target(labels);
        columns.iter_mut().zip(&t).for_each(|(column, t)| column.push(error * t));
    }
    columns.map(|column| {
        let variance = order::variance(&column).unwrap();
        (order::mean(&column).unwrap(), (variance / prompts as f64).sqrt())
    })
}

const LINEAR: Labels = Labels { answer: |z| z, noise: 0.0, guess: None };

/// Linear without and with noise, a cosine, a function neither even nor odd, and a guess in the query's place.
fn covered() -> [Labels; 5] {
    [
        LINEAR,
        Labels { noise: 0.8, ..LINEAR },
        Labels { answer: math::cos, noise: 0.8, guess: None },
        Labels { answer: math::exp, ..LINEAR },
        Labels { guess: Some(1.0), noise: 0.8, ..LINEAR },
    ]
}

/// The proof's step: on the turned prompt `r` and the target are the same and `t` has the other sign, prompt by prompt.
#[test]
fn turning_inputs_and_weights_turns_the_inputs_part_alone() {
    let stream = Stream::new(12, "query-side");
    let bound = Tolerance::roundoff_f64(100);
    for labels in covered() {
        for alpha in ALPHAS {
            for index in 0..50 {
                let prompt = Prompt::draw(&stream, index, 0.0);
                let turned = prompt.turned();
                let ((r, t), (r_turned, t_turned)) =
                    (prompt.read(labels, alpha), turned.read(labels, alpha));
                let scale = largest::at_least(r.abs(), 1.0);
                bound.assert_close(r_turned, r, scale, "r");
                bound.assert_close(turned.target(labels), prompt.target(labels), scale, "target");
                for (turned, t) in t_turned.iter().zip(&t) {
                    bound.assert_close(-turned, *t, 1.0, "t");
                }
            }
        }
    }
}

#[test]
fn at_no_input_part_the_gradient_towards_it_is_zero_whatever_alpha() {
    for labels in covered() {
        for alpha in ALPHAS {
            for (mean, error) in gradient(labels, alpha, 0.0, 20_000) {
                // 45 means: six standard errors are exceeded once in 10^7 runs of this test
                assert!(mean.abs() < 6.0 * error, "{alpha}: {mean} +- {error}");
            }
        }
    }
}

/// Odd answers need no symmetry of the inputs: turning `w` and the noise alone turns the error. Others do, and the same
/// mean sees it.
#[test]
fn shifted_inputs_matter_to_answers_that_are_not_odd() {
    for alpha in ALPHAS {
        let odd = gradient(LINEAR, alpha, 0.5, 20_000);
        assert!(odd.iter().all(|(mean, error)| mean.abs() < 6.0 * error), "{odd:?}");
        let not_odd = Labels { answer: math::exp, ..LINEAR };
        let entries = gradient(not_odd, alpha, 0.5, 20_000);
        assert!(entries.iter().any(|(mean, error)| mean.abs() > 10.0 * error), "{entries:?}");
    }
}

/// `b_x = 0` and a masked label leave nothing to `alpha`; a guess does.
#[test]
fn alpha_acts_where_the_query_carries_a_label() {
    let stream = Stream::new(13, "query-side");
    let difference = |labels: Labels, index: u64| {
        let prompt = Prompt::draw(&stream, index, 0.0);
        prompt.read(labels, 1.0).0 - prompt.read(labels, 0.0).0
    };
    for labels in covered() {
        let largest = largest::magnitude((0..50).map(|index| difference(labels, index)));
        assert_eq!(largest > 0.0, labels.guess.is_some(), "{largest}");
    }
}
