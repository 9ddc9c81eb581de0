//! The matrices of a stack of linear attention against its definition on tokens.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use icl_model::adam::AdamSettings;
use icl_model::linear_stack::LinearStackTraining;
use icl_model::machine::Machine;
use icl_model::objective::Set;
use icl_model::settings::LinearStackSettings;
use icl_model::trainer::Unkept;
use icl_numerics::finite_difference::gradient;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::threads::Threads;

fn settings(layers: usize) -> LinearStackSettings {
    LinearStackSettings {
        layers,
        n_demos: 6,
        scales: vec![1.0, 0.5, 2.0],
        steps: 10,
        batch: 48,
        adam: AdamSettings::default(),
        init_std: 0.3,
        n_validation: 64,
        validate_every: 5,
        seed: 3,
    }
}

fn training(settings: LinearStackSettings, isa: Isa, threads: Threads) -> LinearStackTraining {
    LinearStackTraining::new(settings, &Machine::cpu(isa, threads)).unwrap()
}

fn apply(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
}

/// The definition: `z_j <- z_j + (1/N) sum_i (x_j^T Q x_i) [P x_i; y_i]`, all tokens at once; the query's label after the
/// last layer plus its true one.
fn error(x: &[Vec<f64>], w: &[f64], query: &[f64], layers: &[[Vec<f64>; 2]]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| -> f64 { x.iter().zip(y).map(|(x, y)| x * y).sum() };
    let n = x.len();
    let mut inputs: Vec<Vec<f64>> = x.iter().cloned().chain([query.to_vec()]).collect();
    let mut labels: Vec<f64> = x.iter().map(|x| dot(x, w)).chain([0.0]).collect();
    for [q, p] in layers {
        let score = |j: usize, i: usize| dot(&inputs[j], &apply(q, &inputs[i])) / n as f64;
        let mut moved = inputs.clone();
        let mut relabelled = labels.clone();
        for j in 0..=n {
            for i in 0..n {
                let value = apply(p, &inputs[i]);
                moved[j].iter_mut().zip(value).for_each(|(x, v)| *x += score(j, i) * v);
                relabelled[j] += score(j, i) * labels[i];
            }
        }
        (inputs, labels) = (moved, relabelled);
    }
    labels[n] + dot(query, w)
}

/// `1/2 E (error)^2` over `w` and the query, from the errors of unit vectors: the error is linear in both.
fn loss(
    training: &LinearStackTraining,
    settings: &LinearStackSettings,
    p: &[f64],
    n: usize,
) -> f64 {
    let (scales, layers) = (&settings.scales, settings.layers);
    let d = scales.len();
    let matrix = |i: usize| -> Vec<f64> { p.iter().skip(i * d * d).take(d * d).copied().collect() };
    let zero = vec![0.0; d * d];
    let layers: Vec<[Vec<f64>; 2]> = (0..layers)
        .map(|i| [matrix(i), if i + 1 < layers { matrix(layers + i) } else { zero.clone() }])
        .collect();
    let batch = training.prompts(Set::Training).batch(0, n);
    let unit = |i: usize| -> Vec<f64> { (0..d).map(|j| f64::from(u8::from(i == j))).collect() };
    let one = |prompt: usize| -> f64 {
        let tokens = batch.prompt(prompt);
        let rows = tokens.chunks(d + 1).take(settings.n_demos);
        let scaled = |row: &[f32]| row.iter().zip(scales).map(|(x, s)| f64::from(*x) * s).collect();
        let x: Vec<Vec<f64>> = rows.map(scaled).collect();
        let entry = |ij: usize| {
            let (i, j) = (ij / d, ij % d);
            let error = error(&x, &unit(j), &unit(i), &layers) * scales[i] / scales[j];
            error * error / 2.0
        };
        (0..d * d).map(entry).sum()
    };
    (0..n).map(one).sum::<f64>() / n as f64
}

#[test]
fn loss_and_gradient_are_those_of_the_layers_on_tokens() {
    for layers in 1..=4 {
        let settings = settings(layers);
        let training = training(settings.clone(), Isa::detect(), Threads::One);
        let parameters = settings.parameters();
        let n = 5;
        let got = training.objective().loss_and_gradient(parameters.packed(), 0, n).unwrap();
        let point: Vec<f64> = parameters.packed().iter().map(|x| f64::from(*x)).collect();
        let want = loss(&training, &settings, &point, n);
        assert!((got.loss / want - 1.0).abs() < 1e-5, "{layers}: {} {want}", got.loss);
        let want = gradient(|p| loss(&training, &settings, p, n), &point);
        let found: Vec<f64> = got.gradient.iter().map(|x| f64::from(*x)).collect();
        let scale = largest::magnitude(want.iter().copied());
        let off = largest::difference(&found, &want);
        // single precision, some hundred operations deep
        assert!(off < 1e-5 * scale, "{layers}: {off} of {scale}");
    }
}

#[test]
fn losses_are_their_mean_and_no_bit_depends_on_instruction_set_or_threads() {
    let settings = settings(3);
    let parameters = settings.parameters();
    let run = |isa, threads| {
        let training = training(settings.clone(), isa, threads);
        let losses = training.objective().losses(parameters.packed(), Set::Training, 48).unwrap();
        let curve = training.trainer().run(&Unkept).unwrap();
        let step = training.objective().loss_and_gradient(parameters.packed(), 0, 48).unwrap();
        (losses, curve, step)
    };
    let want = run(Isa::Portable, Threads::One);
    let mean = want.0.values.iter().sum::<f64>() / 48.0;
    assert!((want.2.loss / mean - 1.0).abs() < 1e-5);
    assert_eq!(want.0.square_targets, [3.0 * 48.0]);
    for isa in Isa::available() {
        for threads in [1, 3] {
            assert_eq!(run(isa, Threads::new(threads).unwrap()), want, "{isa:?}, {threads}");
        }
    }
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut LinearStackSettings)| {
        let mut settings = settings(2);
        change(&mut settings);
        settings.check().unwrap_err().to_string()
    };
    assert!(refused(|s| s.layers = 0).contains("`layers`"));
    assert!(refused(|s| s.scales[1] = 0.0).contains("`scales`"));
    assert!(refused(|s| s.batch = 20).contains("`batch`"));
    assert!(refused(|s| s.init_std = f64::NAN).contains("`initial_sd`"));
}
