//! Floors: what needs no network. A model that does not beat them has learned little of the task.
//!
//! | floor | tasks | trained on |
//! |---|---|---|
//! | [`Floor::Majority`] | all | the most frequent class; the mean score |
//! | [`Floor::BagOfWords`] | all | a linear model of how often every word stands in either sentence |
//! | [`Floor::Cosine`] | pairs | cosine of tf-idf vectors of words; for classes one threshold |
//! | [`Floor::Overlap`] | pairs | a linear model of eleven [features](features::NAMES) of overlap |
//!
//! Words are runs of letters and digits in lower case, every other character but blanks is a word by itself.

mod bag_of_words;
mod features;
mod linear;
mod words;

pub use features::NAMES;

use crate::{GlueError, Row, Task};
use features::features;
use icl_model::bert::Target;
use icl_numerics::order;
use linear::{Linear, Loss};
use words::{Frequencies, words};

/// A predictor without a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    /// The most frequent class, or the mean score.
    Majority,
    /// A linear model of counts of words.
    BagOfWords,
    /// The cosine of the sentences' tf-idf vectors.
    Cosine,
    /// A linear model of features of overlap.
    Overlap,
}

impl Floor {
    /// All, from the simplest on.
    pub const ALL: [Self; 4] = [Self::Majority, Self::BagOfWords, Self::Cosine, Self::Overlap];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::BagOfWords => "bag of words",
            Self::Cosine => "tf-idf cosine",
            Self::Overlap => "overlap features",
        }
    }

    /// Whether it can be had for a task.
    pub fn applies(self, task: Task) -> bool {
        matches!(self, Self::Majority | Self::BagOfWords) || task.is_pair()
    }

    /// Predictions for `rows`, classes as numbers or scores, after a look at `training`.
    ///
    /// # Errors
    /// [`GlueError::Score`] if the floor is none of the task or a training row has no label.
    pub fn predict(
        self,
        task: Task,
        training: &[Row],
        rows: &[Row],
    ) -> Result<Vec<f64>, GlueError> {
        let labels: Option<Vec<f64>> = training.iter().map(|row| row.label).collect();
        let labels = labels.filter(|labels| !labels.is_empty() && self.applies(task));
        let Some(labels) = labels else {
            let (what, found) = (self.name(), task.to_string());
            let expected = "a task of two sentences with labels".into();
            return Err(GlueError::Score { what, found, expected });
        };
        Ok(match self {
            Self::Majority => vec![majority(task, &labels); rows.len()],
            Self::BagOfWords => bag_of_words::predict(task, training, &labels, rows),
            Self::Cosine => cosines(task, training, &labels, rows),
            Self::Overlap => overlaps(task, training, &labels, rows),
        })
    }
}

/// The most frequent class, class 1 of two that are as frequent, or the mean score.
fn majority(task: Task, labels: &[f64]) -> f64 {
    match task.target() {
        Target::Score => order::mean(labels).unwrap_or(0.0),
        Target::Class(_) => {
            let ones = labels.iter().filter(|label| **label == 1.0).count();
            f64::from(u8::from(2 * ones >= labels.len()))
        }
    }
}

fn cosines(task: Task, training: &[Row], labels: &[f64], rows: &[Row]) -> Vec<f64> {
    let frequencies = Frequencies::new(training.iter().flat_map(sentences));
    let cosine = |row: &Row| {
        let [a, b] = pair(row).map(words);
        frequencies.cosine(&a, &b)
    };
    let scores: Vec<f64> = rows.iter().map(cosine).collect();
    if task.target() == Target::Score {
        return scores;
    }
    let (threshold, above) = threshold(&training.iter().map(cosine).collect::<Vec<_>>(), labels);
    let class = |score: &f64| if *score >= threshold { above } else { 1.0 - above };
    scores.iter().map(class).collect()
}

/// The threshold of most hits on `scores`, the lowest of several, and the class at or above it.
fn threshold(scores: &[f64], labels: &[f64]) -> (f64, f64) {
    let mut sorted: Vec<(f64, f64)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ones = labels.iter().filter(|label| **label == 1.0).count();
    // all at or above the threshold
    let mut hits = [labels.len() - ones, ones];
    let mut best = (f64::NEG_INFINITY, 1.0, ones);
    if hits[0] > hits[1] {
        best = (f64::NEG_INFINITY, 0.0, hits[0]);
    }
    for (i, (score, label)) in sorted.iter().enumerate() {
        // this one falls below
        let class = usize::from(*label == 1.0);
        hits[class] -= 1;
        hits[1 - class] += 1;
        let next = sorted.get(i + 1).map(|next| next.0);
        if next == Some(*score) {
            continue;
        }
        for (above, hits) in hits.iter().enumerate() {
            if *hits > best.2 {
                best = (next.unwrap_or(f64::INFINITY), above as f64, *hits);
            }
        }
    }
    (best.0, best.1)
}

fn overlaps(task: Task, training: &[Row], labels: &[f64], rows: &[Row]) -> Vec<f64> {
    let frequencies = Frequencies::new(training.iter().flat_map(sentences));
    let of = |rows: &[Row]| -> Vec<Vec<f64>> {
        rows.iter().map(|row| features(&frequencies, pair(row)).to_vec()).collect()
    };
    let loss = match task.target() {
        Target::Score => Loss::Squared,
        Target::Class(_) => Loss::Logistic,
    };
    let model = Linear::fit(loss, &of(training), labels);
    let predictions = of(rows).into_iter().map(|x| model.predict(&x));
    match loss {
        Loss::Squared => predictions.collect(),
        Loss::Logistic => predictions.map(|p| f64::from(u8::from(p > 0.0))).collect(),
    }
}

fn sentences(row: &Row) -> impl Iterator<Item = &str> {
    std::iter::once(row.first.as_str()).chain(row.second.as_deref())
}

fn pair(row: &Row) -> [&str; 2] {
    [&row.first, row.second.as_deref().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(first: &str, second: &str, label: f64) -> Row {
        Row { first: first.into(), second: Some(second.into()), label: Some(label) }
    }

    #[test]
    fn the_threshold_has_the_most_hits_on_either_side() {
        let labels = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0];
        assert_eq!(threshold(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], &labels), (0.3, 1.0));
        // the other way round, with ties
        assert_eq!(threshold(&[0.9, 0.9, 0.3, 0.5, 0.2, 0.1], &labels), (0.5, 0.0));
        assert_eq!(threshold(&[0.5; 3], &[1.0, 1.0, 0.0]), (f64::NEG_INFINITY, 1.0));
        assert_eq!(threshold(&[0.5; 3], &[0.0, 0.0, 1.0]), (f64::NEG_INFINITY, 0.0));
    }

    #[test]
    fn floors_learn_what_they_can() {
        let like = [("a red house", "a red house"), ("one two three", "one two four"), ("x", "x")];
        let unlike = [("a red house", "much of it"), ("one two three", "five six"), ("x", "y")];
        let rows = |pairs: &[(&str, &str)], label: f64| -> Vec<Row> {
            pairs.iter().map(|(a, b)| row(a, b, label)).collect()
        };
        let training = [rows(&like, 1.0), rows(&unlike, 0.0)].concat();
        let labels: Vec<f64> = training.iter().map(|row| row.label.unwrap()).collect();
        for floor in [Floor::Cosine, Floor::Overlap] {
            let predictions = floor.predict(Task::Mrpc, &training, &training).unwrap();
            assert_eq!(predictions, labels, "{floor:?}");
        }
        let majority = Floor::Majority.predict(Task::Rte, &training[..4], &training).unwrap();
        assert_eq!(majority, [1.0; 6]);
        let mean = Floor::Majority.predict(Task::StsB, &training[..4], &training).unwrap();
        assert_eq!(mean, [0.75; 6]);
        assert!(Floor::Cosine.predict(Task::Cola, &training, &training).is_err());
    }
}
