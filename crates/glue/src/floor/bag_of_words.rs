//! A linear model of how often every word stands in the first and in the second sentence.

use crate::{Row, Task};
use icl_model::bert::Target;
use icl_numerics::math;
use std::collections::BTreeMap;

/// Steps of gradient descent, enough for predictions to stay as they are.
const STEPS: usize = 300;
/// Strength of the penalty on squared weights, relative to the mean loss.
const RIDGE: f64 = 1e-3;

/// Predictions by logistic regression for classes, least squares for scores, by gradient descent on all of `training` in
/// double precision. Words are what blanks separate, in lower case.
pub(super) fn predict(task: Task, training: &[Row], labels: &[f64], rows: &[Row]) -> Vec<f64> {
    let mut places = BTreeMap::new();
    for (side, word) in training.iter().flat_map(words) {
        let next = places.len();
        places.entry((side, word)).or_insert(next);
    }
    let bag = |row: &Row| -> Vec<usize> {
        words(row).into_iter().filter_map(|key| places.get(&key).copied()).collect()
    };
    let bags: Vec<Vec<usize>> = training.iter().map(bag).collect();
    let model = Linear::fitted(task.target(), &bags, labels, places.len());
    let prediction = |row: &Row| {
        let output = model.output(&bag(row));
        match task.target() {
            Target::Score => output,
            Target::Class(_) => f64::from(u8::from(output > 0.0)),
        }
    };
    rows.iter().map(prediction).collect()
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
        let labels: Vec<f64> = rows.iter().filter_map(|row| row.label).collect();
        let said = predict(Task::Rte, &rows, &labels, &rows);
        assert_eq!(accuracy(&said, &labels), 1.0);
        let scores = predict(Task::StsB, &rows, &labels, &rows);
        assert!(pearson(&scores, &labels) > 0.99);
        // words never seen say nothing
        assert_eq!(predict(Task::Rte, &rows, &labels, &[row("x", "y", 1.0)]).len(), 1);
    }
}
