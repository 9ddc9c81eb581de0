//! What is reached without a model: by the commonest class, and by counting words.

use crate::{GlueError, Row, Task};
use icl_model::bert::Target;
use icl_numerics::{math, order};
use std::collections::BTreeMap;

/// The commonest class of `training`, the larger of two that are as common; or the mean score.
///
/// # Errors
/// [`GlueError::Score`] if a label is missing.
pub fn majority(task: Task, training: &[Row], rows: &[Row]) -> Result<Vec<f64>, GlueError> {
    let mean = order::mean(&labels(training)?).unwrap_or(0.0);
    let prediction = match task.target() {
        Target::Score => mean,
        Target::Class(_) => f64::from(u8::from(mean >= 0.5)),
    };
    Ok(vec![prediction; rows.len()])
}

/// Steps of gradient descent, enough for predictions to stay as they are.
const STEPS: usize = 300;
/// Strength of the penalty on squared weights, relative to the mean loss.
const RIDGE: f64 = 1e-3;

/// Predictions of a linear model of how often every word stands in the first and in the second sentence: logistic
/// regression for classes, least squares for scores, by gradient descent on all of `training` in double precision.
///
/// Words are what blanks separate, in lower case.
///
/// # Errors
/// [`GlueError::Score`] if a label is missing.
pub fn bag_of_words(task: Task, training: &[Row], rows: &[Row]) -> Result<Vec<f64>, GlueError> {
    let labels = labels(training)?;
    let mut places = BTreeMap::new();
    for (side, word) in training.iter().flat_map(words) {
        let next = places.len();
        places.entry((side, word)).or_insert(next);
    }
    let bag = |row: &Row| -> Vec<usize> {
        words(row).into_iter().filter_map(|key| places.get(&key).copied()).collect()
    };
    let bags: Vec<Vec<usize>> = training.iter().map(bag).collect();
    let model = Linear::fitted(task.target(), &bags, &labels, places.len());
    let prediction = |row: &Row| {
        let output = model.output(&bag(row));
        match task.target() {
            Target::Score => output,
            Target::Class(_) => f64::from(u8::from(output > 0.0)),
        }
    };
    Ok(rows.iter().map(prediction).collect())
}

fn labels(rows: &[Row]) -> Result<Vec<f64>, GlueError> {
    let labels: Option<Vec<f64>> = rows.iter().map(|row| row.label).collect();
    labels.ok_or_else(|| {
        let (found, expected) = ("none".into(), "a label in every row".into());
        GlueError::Score { what: "label", found, expected }
    })
}

/// Words with the sentence in which they stand.
fn words(row: &Row) -> Vec<(usize, String)> {
    let sides = [Some(&row.first), row.second.as_ref()];
    let side = |(side, text): (usize, Option<&String>)| {
        let words = text.into_iter().flat_map(|text| text.split_whitespace());
        words.map(|word| (side, word.to_lowercase())).collect::<Vec<_>>()
    };
    sides.into_iter().enumerate().flat_map(side).collect()
}

/// A weight for every word, and a constant.
struct Linear {
    weights: Vec<f64>,
    constant: f64,
}

impl Linear {
    /// Steps as long as the largest squared length of a bag allows.
    fn fitted(target: Target, bags: &[Vec<usize>], labels: &[f64], n_words: usize) -> Self {
        let mut model = Self { weights: vec![0.0; n_words], constant: 0.0 };
        let n = bags.len().max(1) as f64;
        let longest = bags.iter().map(Vec::len).max().unwrap_or(0);
        let rate = 1.0 / (1.0 + longest as f64);
        for _ in 0..STEPS {
            let mut gradient: Vec<f64> = model.weights.iter().map(|w| RIDGE * w).collect();
            let mut of_constant = 0.0;
            for (bag, label) in bags.iter().zip(labels) {
                let output = model.output(bag);
                let predicted = match target {
                    Target::Score => output,
                    Target::Class(_) => 1.0 / (1.0 + math::exp(-output)),
                };
                let slope = (predicted - label) / n;
                bag.iter().for_each(|word| gradient[*word] += slope);
                of_constant += slope;
            }
            model.weights.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= rate * g);
            model.constant -= rate * of_constant;
        }
        model
    }

    fn output(&self, bag: &[usize]) -> f64 {
        bag.iter().fold(self.constant, |sum, word| sum + self.weights[*word])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{accuracy, pearson};

    fn row(first: &str, second: &str, label: f64) -> Row {
        Row { first: first.into(), second: Some(second.into()), label: Some(label) }
    }

    #[test]
    fn what_words_tell_is_learned_and_sides_are_told_apart() {
        let rows: Vec<Row> = (0..40)
            .map(|i| if i % 2 == 0 { row("a B c", "d", 1.0) } else { row("d", "a b c", 0.0) })
            .collect();
        let labels = labels(&rows).unwrap();
        let said = bag_of_words(Task::Rte, &rows, &rows).unwrap();
        assert_eq!(accuracy(&said, &labels), 1.0);
        let scores = bag_of_words(Task::StsB, &rows, &rows).unwrap();
        assert!(pearson(&scores, &labels) > 0.99);
        // words never seen say nothing
        let other = bag_of_words(Task::Rte, &rows, &[row("x", "y", 1.0)]).unwrap();
        assert_eq!(other.len(), 1);
    }

    #[test]
    fn the_majority_is_the_commonest_class_or_the_mean() {
        let rows = [row("a", "b", 0.0), row("a", "b", 0.0), row("a", "b", 1.0)];
        assert_eq!(majority(Task::Mrpc, &rows, &rows[..2]).unwrap(), [0.0; 2]);
        assert_eq!(majority(Task::Mrpc, &rows[1..], &rows[..1]).unwrap(), [1.0]);
        let mean = majority(Task::StsB, &rows, &rows[..1]).unwrap()[0];
        assert!((mean - 1.0 / 3.0).abs() < 1e-15);
        let unlabelled = Row { label: None, ..rows[0].clone() };
        assert!(majority(Task::Rte, &[unlabelled], &rows).is_err());
    }
}
