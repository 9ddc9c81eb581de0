//! Features of the overlap of two sentences.

use super::words::{Frequencies, words};
use icl_numerics::math;
use std::collections::BTreeSet;

/// Their names, in order.
pub const NAMES: [&str; 11] = [
    "share of the first's words in the second",
    "share of the second's words in the first",
    "Jaccard index of words",
    "cosine of tf-idf",
    "Jaccard index of pairs of words",
    "Jaccard index of character trigrams",
    "longest common subsequence over the longer sentence",
    "shorter over longer length",
    "logarithm of the ratio of lengths",
    "share of the second's numbers in the first",
    "a negation in exactly one",
];

/// Words that negate.
const NEGATIONS: [&str; 8] = ["not", "no", "never", "n't", "t", "none", "nothing", "neither"];

/// The features of a pair.
pub(super) fn features(frequencies: &Frequencies, pair: [&str; 2]) -> [f64; 11] {
    let [a, b] = pair.map(words);
    let [set_a, set_b] = [&a, &b].map(|words| words.iter().cloned().collect::<BTreeSet<_>>());
    let common = set_a.intersection(&set_b).count() as f64;
    let (short, long) = (a.len().min(b.len()).max(1), a.len().max(b.len()).max(1));
    let length = |words: &[String]| words.len().max(1) as f64;
    let negated = |words: &BTreeSet<String>| NEGATIONS.iter().any(|word| words.contains(*word));
    [
        common / set_a.len().max(1) as f64,
        common / set_b.len().max(1) as f64,
        jaccard(&set_a, &set_b),
        frequencies.cosine(&a, &b),
        jaccard(&pairs(&a), &pairs(&b)),
        jaccard(&trigrams(&a), &trigrams(&b)),
        longest_common(&a, &b) as f64 / long as f64,
        short as f64 / long as f64,
        math::ln(length(&b) / length(&a)),
        numbers(&set_a, &set_b),
        f64::from(u8::from(negated(&set_a) != negated(&set_b))),
    ]
}

/// Size of the intersection over that of the union; 1 for two empty sets.
fn jaccard<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
    let union = a.union(b).count();
    if union == 0 { 1.0 } else { a.intersection(b).count() as f64 / union as f64 }
}

fn pairs(words: &[String]) -> BTreeSet<[&str; 2]> {
    words.windows(2).map(|pair| [pair[0].as_str(), pair[1].as_str()]).collect()
}

fn trigrams(words: &[String]) -> BTreeSet<String> {
    let text: Vec<char> = words.join(" ").chars().collect();
    text.windows(3).map(|trigram| trigram.iter().collect()).collect()
}

/// Share of the second's words with a digit that the first has too; 1 if there is none.
fn numbers(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let numbers = || b.iter().filter(|word| word.chars().any(|c| c.is_ascii_digit()));
    match numbers().count() {
        0 => 1.0,
        n => numbers().filter(|word| a.contains(*word)).count() as f64 / n as f64,
    }
}

/// Length of the longest common subsequence of words.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_a_pair_by_hand() {
        let frequencies = Frequencies::new(["the cat sat", "the dog sat 3"].into_iter());
        let [a_in_b, b_in_a, jaccard, cosine, pairs, .., lcs, short, ratio, numbers, negated] =
            features(&frequencies, ["the cat sat", "the cat did not sit 3"]);
        assert_eq!((a_in_b, b_in_a, jaccard), (2.0 / 3.0, 2.0 / 6.0, 2.0 / 7.0));
        assert!(cosine > 0.0 && cosine < 1.0);
        assert_eq!((pairs, lcs, short), (1.0 / 6.0, 2.0 / 6.0, 0.5));
        assert!((ratio - math::ln(2.0)).abs() < 1e-12);
        assert_eq!((numbers, negated), (0.0, 1.0));
        let same = features(&frequencies, ["x y", "x y"]);
        assert!((same[3] - 1.0).abs() < 1e-12);
        assert_eq!([same[0], same[2], same[4], same[5], same[6], same[7], same[9]], [1.0; 7]);
        assert_eq!([same[8], same[10]], [0.0; 2]);
        assert!(features(&frequencies, ["", ""]).iter().all(|x| x.is_finite()));
    }
}
