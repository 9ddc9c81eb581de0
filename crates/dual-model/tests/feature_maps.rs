//! Feature maps: unbiased with their closed-form variance, and not circular.
//!
//! Draws are compared where `|x + y|^2 <= 1`: beyond it the estimates have so heavy a tail that a sample
//! variance says nothing.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{FavorPlusPlus, RANDOM, Taylor, gaussian_rows, random};
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use icl_numerics::{math, order};

/// Pairs with `|x + y|^2` from .2 to 1.
fn pairs() -> Vec<(Vec<f64>, Vec<f64>)> {
    vec![
        (vec![0.3, -0.2], vec![0.1, 0.4]),
        (vec![0.5, 0.1, -0.2], vec![0.2, 0.3, 0.1]),
        (vec![0.2, 0.2, 0.2, 0.2], vec![0.3, 0.3, 0.3, 0.3]),
    ]
}

/// Mean and variance of `repeats` independent estimates with `d_r` features.
fn moments(name: &str, x: &[f64], y: &[f64], d_r: usize, repeats: usize) -> (f64, f64) {
    let sum: Vec<f64> = x.iter().zip(y).map(|(x, y)| x + y).collect();
    let z = order::dot(&sum, &sum);
    let estimate = |i: usize| {
        let stream = Stream::new(i as u64, "feature-map-moments");
        let map = random(name, &stream, d_r, x.len(), z).unwrap();
        order::dot(&map.key_features(y), &map.query_features(x))
    };
    let estimates: Vec<f64> = (0..repeats).map(estimate).collect();
    (order::mean(&estimates).unwrap(), order::variance(&estimates).unwrap())
}

/// One million features per pair and map (16 features, 62 500 draws): variance within 5 %.
#[test]
fn estimates_are_unbiased_with_the_closed_form_variance() {
    let (d_r, repeats) = (16, 62_500);
    for name in RANDOM {
        for (x, y) in pairs() {
            let sum: Vec<f64> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            let z = order::dot(&sum, &sum);
            let map = random(name, &Stream::new(0, "any"), d_r, x.len(), z).unwrap();
            let variance = map.variance(&x, &y);
            let (mean, measured) = moments(name, &x, &y, d_r, repeats);
            let kernel = math::exp(order::dot(&x, &y));
            Tolerance::monte_carlo(variance.sqrt(), repeats, 5.0)
                .assert_close(mean, kernel, 1.0, name);
            Tolerance::stated(0.05, "required of the closed forms").assert_close(
                measured,
                variance,
                variance,
                &format!("variance of {name}"),
            );
        }
    }
}

#[test]
fn variances_have_the_tabulated_values() {
    // closed forms evaluated independently to twelve digits, per row omega
    let t = Tolerance::stated(2e-11, "twelve printed digits");
    let small = ([0.3, -0.2], [0.1, 0.4]);
    let unit = |i: usize| (0..8).map(|j| f64::from(u8::from(i == j))).collect::<Vec<_>>();
    for (name, d_r, at_small, at_unit) in [
        ("positive", 1, 0.200_333_500_040, 6.389_056_098_931),
        ("hyperbolic", 2, 0.018_157_151_343, 2.762_195_691_084),
        ("trigonometric", 2, 0.073_357_315_608, 2.762_195_691_084),
        ("favor++", 1, 0.168_292_315_432, 3.269_820_306_411),
    ] {
        let stream = Stream::new(0, "any");
        let v = random(name, &stream, d_r, 2, 0.2).unwrap().variance(&small.0, &small.1);
        t.assert_close(v, at_small, v, name);
        let v = random(name, &stream, d_r, 8, 2.0).unwrap().variance(&unit(0), &unit(1));
        t.assert_close(v, at_unit, v, name);
    }
    t.assert_close(
        FavorPlusPlus::optimal_a(0.2, 2).unwrap(),
        -0.043_541_434_669,
        1.0,
        "A at z = .2",
    );
    t.assert_close(
        FavorPlusPlus::optimal_a(2.0, 8).unwrap(),
        -0.097_597_050_801,
        1.0,
        "A at z = 2",
    );
}

/// A dual with an explicit weight matrix on sixteen orders of Taylor features predicts softmax attention.
#[test]
fn taylor_features_make_the_equality_explicit() {
    let d = 3;
    // inputs of norm at most one, so that |k . q| <= 1
    let rows = |purpose: &str, n: usize| -> Vec<Vec<f64>> {
        let rows = gaussian_rows(&Stream::new(5, purpose), n, d);
        let unit = |row: &Vec<f64>| {
            let norm = order::dot(row, row).sqrt();
            row.iter().map(|x| x / norm).collect()
        };
        rows.iter().map(unit).collect()
    };
    let (keys, values, queries) = (rows("keys", 9), rows("values", 9), rows("queries", 4));
    let pairs: Vec<KeyValue<'_>> =
        keys.iter().zip(&values).map(|(key, value)| KeyValue { key, value }).collect();
    let (demos, side) = pairs.split_at(8);
    for query in &queries {
        let weights: Vec<f64> = keys.iter().map(|key| math::exp(order::dot(key, query))).collect();
        let total = order::sum(&weights);
        let attention: Vec<f64> = (0..d)
            .map(|c| {
                let terms: Vec<f64> = weights.iter().zip(&values).map(|(w, v)| w * v[c]).collect();
                order::sum(&terms) / total
            })
            .collect();
        let mut factorial = 1.0;
        for p in 0..=16 {
            factorial *= f64::from(p + 1);
            let map = Taylor::new(d, p as usize);
            let mut dual = FeatureDual::initial(&map, demos, side, query).unwrap();
            // the gradient step, taken literally
            let gradient = dual.gradient(demos, 0.5).unwrap();
            let before = dual.weights().clone();
            demos.iter().for_each(|pair| dual.step(*pair).unwrap());
            for ((w1, w0), g) in
                dual.weights().entries().iter().zip(before.entries()).zip(gradient.entries())
            {
                assert!(
                    (w1 - (w0 - 0.5 * g)).abs() < 1e-14,
                    "the sum of steps is the gradient step"
                );
            }
            let got = dual.predict(query).unwrap();
            // remainder of every kernel value: e |s|^{p+1}/(p+1)! with |s| <= 1; the ratio moves by at
            // most twice its relative size times the largest value
            let remainder = std::f64::consts::E / factorial;
            let bound = 2.0 * remainder * keys.len() as f64 / total + 1e-14;
            for (g, a) in got.iter().zip(&attention) {
                assert!((g - a).abs() <= bound, "order {p}: {} > {bound}", (g - a).abs());
            }
            if p == 16 {
                Tolerance::stated(1e-12, "order sixteen")
                    .assert_all_close(&got, &attention, "taylor");
            }
        }
    }
}
