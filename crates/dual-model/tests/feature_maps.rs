//! Registered feature maps: their kernel, their variance, their dual, and no size that breaks them.
//!
//! The registry is asked for maps and examples: a new map is checked here without a line being added.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use dual_model::dual::KeyValue;
use dual_model::feature_dual::FeatureDual;
use dual_model::feature_map::{
    self, Choice, Estimate, FavorPlusPlus, FeatureMap, Setting, Taylor, gaussian_rows, squared_sum,
};
use dual_model::shared::SharedFeatureDual;
use icl_numerics::stream::Stream;
use icl_numerics::tolerance::Tolerance;
use icl_numerics::{largest, math, order};

/// Every registered map with every example of its options.
fn registered() -> impl Iterator<Item = (String, Choice)> {
    feature_map::ALL.iter().flat_map(|entry| {
        entry.examples.iter().map(move |options| {
            let specification = format!("{}:{options}", entry.id);
            let choice = feature_map::parse(&specification).unwrap();
            (specification, choice)
        })
    })
}

/// Pairs with `|x + y|^2` from .2 to 1: beyond it the estimates have so heavy a tail that a sample variance
/// says nothing.
fn pairs() -> Vec<(Vec<f64>, Vec<f64>)> {
    vec![
        (vec![0.3, -0.2], vec![0.1, 0.4]),
        (vec![0.5, 0.1, -0.2], vec![0.2, 0.3, 0.1]),
        (vec![0.2, 0.2, 0.2, 0.2], vec![0.3, 0.3, 0.3, 0.3]),
    ]
}

/// The map for one pair: `x` a query, `y` a key.
fn for_pair(
    choice: &Choice,
    [x, y]: [&[f64]; 2],
    d_r: usize,
    stream: &Stream,
) -> Box<dyn FeatureMap> {
    let (d, mean_z) = (x.len(), squared_sum(x, y));
    choice.build(&Setting { stream, d_r, d, mean_z, keys: &[y] }).unwrap()
}

/// Sixteen features, 62 500 draws for every pair and example: a million features, the mean within five
/// standard errors of the kernel and the variance within 5 % of its closed form.
#[test]
fn estimates_have_their_kernel_as_mean_and_their_closed_form_variance() {
    let (d_r, draws) = (16, 62_500);
    for (name, choice) in registered() {
        let d_r = if choice.entry().estimate == Estimate::OtherKernel { 64 } else { d_r };
        for (x, y) in pairs() {
            let build =
                |i: u64| for_pair(&choice, [&x, &y], d_r, &Stream::new(i, "feature-map-moments"));
            let product =
                |map: &dyn FeatureMap| order::dot(&map.key_features(&y), &map.query_features(&x));
            let first = build(0);
            let (kernel, variance) = (first.kernel(&x, &y), first.variance(&x, &y));
            if variance == Some(0.0) {
                Tolerance::roundoff_f64(400).assert_close(
                    product(first.as_ref()),
                    kernel,
                    kernel.abs(),
                    &name,
                );
                continue;
            }
            let estimates: Vec<f64> = (0..draws).map(|i| product(build(i).as_ref())).collect();
            let (mean, measured) =
                (order::mean(&estimates).unwrap(), order::variance(&estimates).unwrap());
            let sd = variance.unwrap_or(measured).sqrt();
            let t = Tolerance::monte_carlo(sd, estimates.len(), 5.0);
            t.assert_close(mean, kernel, 1.0, &name);
            if let Some(variance) = variance {
                let t = Tolerance::stated(0.05, "required of the closed forms");
                t.assert_close(measured, variance, variance, &format!("variance of {name}"));
            }
        }
    }
}

/// What an entry says of its relation to the softmax kernel is what its map is.
#[test]
fn entries_state_their_relation_to_the_softmax_kernel() {
    // far apart, where a series has long left the exponential
    let far = (vec![4.0, -2.0], vec![3.5, -3.0]);
    for (name, choice) in registered() {
        for (x, y) in pairs().into_iter().chain([far.clone()]) {
            let map = for_pair(&choice, [&x, &y], 64, &Stream::new(1, "any"));
            let (kernel, softmax) = (map.kernel(&x, &y), math::exp(order::dot(&x, &y)));
            let variance = map.variance(&x, &y);
            match choice.entry().estimate {
                Estimate::Exact => assert_eq!((kernel, variance), (softmax, Some(0.0)), "{name}"),
                Estimate::Unbiased => {
                    assert!(kernel == softmax && variance.unwrap() > 0.0, "{name}");
                }
                Estimate::OtherKernel if x == far.0 => assert_ne!(kernel, softmax, "{name}"),
                Estimate::OtherKernel => assert!(kernel.is_finite(), "{name}"),
            }
        }
    }
}

/// Keys, queries and values of one head.
struct Head {
    keys: Vec<Vec<f64>>,
    queries: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

const TOKENS: usize = 19;
const D: usize = 4;

impl Head {
    /// Keys and queries of length `norm`, values of length 1.
    fn new(norm: f64) -> Self {
        let rows = |purpose: &str, d: usize, norm: f64| {
            let mut rows = gaussian_rows(&Stream::new(3, purpose), TOKENS, d);
            for row in &mut rows {
                let factor = norm / order::dot(row, row).sqrt();
                row.iter_mut().for_each(|x| *x *= factor);
            }
            rows
        };
        Self { keys: rows("k", D, norm), queries: rows("q", D, norm), values: rows("v", 3, 1.0) }
    }

    /// The map for this head; `None` if the map refuses keys of such a size.
    fn map(&self, choice: &Choice) -> Option<Box<dyn FeatureMap>> {
        let keys: Vec<&[f64]> = self.keys.iter().map(Vec::as_slice).collect();
        let z = squared_sum(&self.keys[0], &self.queries[0]);
        let stream = Stream::new(4, "w");
        let built =
            choice.build(&Setting { stream: &stream, d_r: 64, d: D, mean_z: z, keys: &keys });
        built.ok()
    }

    fn pairs(&self, n: usize) -> Vec<KeyValue<'_>> {
        let all = self.keys.iter().zip(&self.values);
        all.map(|(key, value)| KeyValue { key, value }).take(n).collect()
    }

    /// Feature attention of query `i` over the tokens `0..=i` by its definition, and by how much rounding is
    /// magnified where kernel values of both signs cancel in the normaliser.
    fn attention(&self, map: &dyn FeatureMap, i: usize) -> (Vec<f64>, f64) {
        let phi = map.query_features(&self.queries[i]);
        let kernel: Vec<f64> =
            self.keys[..=i].iter().map(|k| order::dot(&map.key_features(k), &phi)).collect();
        let total = order::sum(&kernel);
        let entry = |c: usize| {
            let terms: Vec<f64> = kernel.iter().zip(&self.values).map(|(w, v)| w * v[c]).collect();
            order::sum(&terms) / total
        };
        let magnitudes: Vec<f64> = self.keys[..=i]
            .iter()
            .flat_map(|k| {
                let phi_k = map.key_features(k);
                phi_k.iter().zip(&phi).map(|(k, q)| (k * q).abs()).collect::<Vec<_>>()
            })
            .collect();
        ((0..3).map(entry).collect(), order::sum(&magnitudes) / total.abs())
    }

    /// The shared feature dual's answer to every query on the way.
    fn stream(&self, map: &dyn FeatureMap) -> Vec<Vec<f64>> {
        let mut dual = SharedFeatureDual::new(map, D, 3);
        let step = |(pair, query): (&KeyValue<'_>, &Vec<f64>)| {
            dual.step(*pair).unwrap();
            dual.predict(query).unwrap()
        };
        self.pairs(TOKENS).iter().zip(&self.queries).map(step).collect()
    }
}

/// Twelve: the exponents pass the range in which nothing is shifted, the plain features are still numbers.
#[test]
fn both_duals_with_every_map_equal_feature_attention() {
    for (name, choice) in registered() {
        for norm in [0.7, 12.0] {
            let head = Head::new(norm);
            let map = head.map(&choice).unwrap();
            let stream = head.stream(map.as_ref());
            for i in 0..TOKENS {
                let (want, magnified) = head.attention(map.as_ref(), i);
                let pairs = head.pairs(i + 1);
                let (demos, side) = pairs.split_at(i / 2);
                let query = &head.queries[i];
                let mut own = FeatureDual::initial(map.as_ref(), demos, side, query).unwrap();
                demos.iter().for_each(|pair| own.step(*pair).unwrap());
                let own = own.predict(query).unwrap();
                // exponents of some hundreds are rounded before the exponential
                let t = Tolerance::roundoff_f64(1000);
                for got in [&own, &stream[i]] {
                    let far = largest::difference(got, &want);
                    t.assert_close(far, 0.0, magnified, &format!("{name} norm {norm} query {i}"));
                }
            }
        }
    }
}

#[test]
fn scaled_features_are_the_plain_ones_with_their_exponents_apart() {
    for (name, choice) in registered() {
        let head = Head::new(1.5);
        let map = head.map(&choice).unwrap();
        let t = Tolerance::roundoff_f64(20);
        let (k, q) = (&head.keys[0], &head.queries[0]);
        t.assert_all_close(&map.scaled_key_features(k).features(), &map.key_features(k), &name);
        t.assert_all_close(&map.scaled_query_features(q).features(), &map.query_features(q), &name);
    }
}

/// A map either refuses keys of such a size or answers every query by a number.
#[test]
fn no_size_of_keys_and_queries_overflows_or_underflows() {
    for (name, choice) in registered() {
        for norm in [1e-3, 40.0, 500.0, 5e4] {
            let head = Head::new(norm);
            let Some(map) = head.map(&choice) else {
                assert_eq!(choice.entry().estimate, Estimate::Exact, "{name}: refused {norm}");
                continue;
            };
            let got = head.stream(map.as_ref()).concat();
            assert!(largest::magnitude(got.iter().copied()).is_finite(), "{name} {norm}");
            let scaled = |x: &Vec<f64>| map.scaled_key_features(x).factors;
            let positive = head.keys.iter().flat_map(scaled).all(|factor| factor >= 0.0);
            if positive {
                // positive weights: a prediction lies within the values
                let values = largest::magnitude(head.values.concat());
                assert!(largest::magnitude(got) <= values * (1.0 + 1e-12), "{name} {norm}");
            }
        }
    }
}

#[test]
fn one_key_is_answered_by_its_value_at_every_size() {
    for (name, choice) in registered() {
        for norm in [0.5, 20.0, 30.0, 500.0] {
            let head = Head::new(norm);
            let Some(map) = head.map(&choice) else { continue };
            let mut dual = SharedFeatureDual::new(map.as_ref(), D, 2);
            let key = &head.keys[0];
            dual.step(KeyValue { key, value: &[1.5, -2.0] }).unwrap();
            let got = dual.predict(key).unwrap();
            Tolerance::roundoff_f64(100).assert_all_close(&got, &[1.5, -2.0], &name);
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
        ("favor++:a=0", 1, 0.200_333_500_040, 6.389_056_098_931),
    ] {
        let (stream, choice) = (Stream::new(0, "any"), feature_map::parse(name).unwrap());
        let variance =
            |x: &[f64], y: &[f64]| for_pair(&choice, [x, y], d_r, &stream).variance(x, y).unwrap();
        let v = variance(&small.0, &small.1);
        t.assert_close(v, at_small, v, name);
        let v = variance(&unit(0), &unit(1));
        t.assert_close(v, at_unit, v, name);
    }
    let optimal = |z, d| FavorPlusPlus::optimal_a(z, d).unwrap();
    t.assert_close(optimal(0.2, 2), -0.043_541_434_669, 1.0, "A at z = .2");
    t.assert_close(optimal(2.0, 8), -0.097_597_050_801, 1.0, "A at z = 2");
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
