//! Words of a sentence, and how rare they are.

use icl_numerics::{math, order};
use std::collections::{BTreeMap, BTreeSet};

/// Runs of letters and digits in lower case; every other character but blanks is a word by itself.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        if c.is_alphanumeric() {
            if !open {
                words.push(String::new());
            }
            words.iter_mut().last().into_iter().for_each(|word| word.extend(c.to_lowercase()));
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        }
        open = c.is_alphanumeric();
    }
    words
}

/// In how many sentences every word stands.
#[derive(Debug, Default)]
pub(super) struct Frequencies {
    sentences: usize,
    of: BTreeMap<String, usize>,
}

impl Frequencies {
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for text in texts {
            all.sentences += 1;
            for word in words(text).into_iter().collect::<BTreeSet<_>>() {
                *all.of.entry(word).or_default() += 1;
            }
        }
        all
    }

    /// `1 + ln((1 + sentences) / (1 + sentences with the word))`.
    fn rarity(&self, word: &str) -> f64 {
        let with = self.of.get(word).copied().unwrap_or(0);
        1.0 + math::ln((1 + self.sentences) as f64 / (1 + with) as f64)
    }

    /// Counts times rarity, by word.
    fn vector<'a>(&self, words: &'a [String]) -> BTreeMap<&'a str, f64> {
        let mut vector = BTreeMap::new();
        for word in words {
            *vector.entry(word.as_str()).or_insert(0.0) += self.rarity(word);
        }
        vector
    }

    /// Cosine of two sentences' vectors; 0 if one has no word.
    pub(super) fn cosine(&self, a: &[String], b: &[String]) -> f64 {
        let (a, b) = (self.vector(a), self.vector(b));
        let norm = |x: &BTreeMap<&str, f64>| {
            order::sum_of_squares(&x.values().copied().collect::<Vec<_>>()).sqrt()
        };
        let products: Vec<f64> = a.iter().filter_map(|(word, x)| Some(x * b.get(word)?)).collect();
        let norms = norm(&a) * norm(&b);
        if norms > 0.0 { order::sum(&products) / norms } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(
            words("It's 3.5 Über-\"x\""),
            ["it", "'", "s", "3", ".", "5", "über", "-", "\"", "x", "\""]
        );
        assert!(words(" \t").is_empty());
    }

    #[test]
    fn rare_words_count_for_more() {
        let texts = ["a b", "a c", "a d"];
        let frequencies = Frequencies::new(texts.into_iter());
        let cosine = |a: &str, b: &str| frequencies.cosine(&words(a), &words(b));
        // a: 1 + ln(4/4); b, c: 1 + ln(4/2)
        let rare = 1.0 + math::ln(2.0);
        assert!((cosine("a b", "a c") - 1.0 / (1.0 + rare * rare)).abs() < 1e-12);
        assert!((cosine("a b", "b") - rare / (1.0 + rare * rare).sqrt()).abs() < 1e-12);
        assert_eq!(cosine("a", ""), 0.0);
    }
}
