//! The error of the first kind of comparisons under five nulls, and the coverage of intervals.

#![allow(clippy::unwrap_used, reason = "a test stops at the first fault")]

use artifact::statistics::comparison::{Differences, Word, compare};
use artifact::statistics::interval;
use icl_numerics::order;
use icl_numerics::stream::{Draws, Stream};

/// Seeds, and comparisons of one item.
const N: usize = 10;
const COMPARISONS: usize = 10;
/// Items that are simulated: a share of 5 % has a standard error of .4 %.
const ITEMS: u64 = 3000;

/// Student's t with three degrees of freedom: heavy tails.
fn t3(draws: &mut Draws<'_>) -> f64 {
    let normals = [(); 3].map(|()| draws.normal());
    let chi = order::sum_of_squares(&normals);
    draws.normal() / (chi / 3.0).sqrt()
}

/// A loss in one of two optima, by a coin, and noise.
fn two_optima(draws: &mut Draws<'_>) -> f64 {
    f64::from(u8::from(draws.below(2) == 0)) + 0.05 * draws.normal()
}

/// Differences of an item's settings to plain, seed by seed, none of which has an effect.
type Null = fn(&mut Draws<'_>) -> Vec<Vec<f64>>;

fn independent(mut one: impl FnMut() -> f64) -> Vec<Vec<f64>> {
    (0..COMPARISONS).map(|_| (0..N).map(|_| one()).collect()).collect()
}

/// Ten settings, and the plain that all are compared with.
fn shared_plain(mut one: impl FnMut() -> f64) -> Vec<Vec<f64>> {
    let plain: Vec<f64> = (0..N).map(|_| one()).collect();
    let setting = |_| plain.iter().map(|plain| one() - plain).collect();
    (0..COMPARISONS).map(setting).collect()
}

const NULLS: [(&str, Null); 5] = [
    ("normal", |draws| independent(|| draws.normal())),
    ("two optima", |draws| independent(|| two_optima(draws) - two_optima(draws))),
    ("heavy tails", |draws| independent(|| t3(draws))),
    ("normal, one plain", |draws| shared_plain(|| draws.normal())),
    ("two optima, one plain", |draws| shared_plain(|| two_optima(draws))),
];

/// Shares of items with a false difference, and with a false equivalence where every effect is as large as the margin.
fn errors(null: Null) -> [f64; 2] {
    let stream = Stream::new(0, "inference/nulls");
    let mut wrong = [0.0; 2];
    for item in 0..ITEMS {
        let values = null(&mut stream.sample(item));
        let named = |values: Vec<f64>, margin| Differences { name: String::new(), values, margin };
        let none: Vec<_> = values.iter().cloned().map(|values| named(values, 0.0)).collect();
        let margin = 0.5;
        let moved = |values: Vec<f64>| values.iter().map(|x| x + margin).collect();
        let at_margin: Vec<_> = values.into_iter().map(|v| named(moved(v), margin)).collect();
        let said = |all: &[Differences], words: &[Word]| {
            compare(all).unwrap().iter().any(|one| words.contains(&one.word()))
        };
        wrong[0] += f64::from(u8::from(said(&none, &[Word::Better, Word::Worse])));
        wrong[1] += f64::from(u8::from(said(&at_margin, &[Word::Equivalent])));
    }
    wrong.map(|count| count / ITEMS as f64)
}

#[test]
#[ignore = "slow: a minute"]
fn an_item_without_effects_has_a_false_verdict_in_at_most_six_of_a_hundred() {
    for (name, null) in NULLS {
        let [difference, equivalence] = errors(null);
        println!("{name}: difference {difference:.4}, equivalence {equivalence:.4}");
        assert!(difference <= 0.06 && equivalence <= 0.06, "{name}: {difference} {equivalence}");
    }
}

#[test]
#[ignore = "slow: a minute"]
fn a_95_percent_interval_of_ten_numbers_covers_its_mean() {
    // exact for normal numbers; heavy tails only widen it, and a coin's steps cost it a little
    type Case = (&'static str, fn(&mut Draws<'_>) -> f64, [f64; 2]);
    let cases: [Case; 3] = [
        ("normal", |draws| draws.normal(), [0.94, 0.96]),
        ("heavy tails", t3, [0.94, 0.98]),
        ("differences of two optima", |draws| two_optima(draws) - two_optima(draws), [0.92, 0.99]),
    ];
    let stream = Stream::new(0, "inference/coverage");
    for (name, draw, [low, high]) in cases {
        let covers = |i: u64| {
            let mut draws = stream.sample(i);
            let found = interval::mean(&(0..N).map(|_| draw(&mut draws)).collect::<Vec<_>>());
            let found = found.unwrap();
            f64::from(u8::from(found.lower <= 0.0 && 0.0 <= found.upper))
        };
        let share = order::mean(&(0..20_000).map(covers).collect::<Vec<_>>()).unwrap();
        println!("{name}: {share:.4}");
        assert!((low..=high).contains(&share), "{name}: {share}");
    }
}
