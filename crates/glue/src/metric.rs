//! GLUE's metrics, with the conventions of scikit-learn and scipy where they are undefined.

use crate::{GlueError, Task};
use icl_numerics::order;

/// A score with its usual name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// `matthews`, `f1`, `accuracy`, `pearson` or `spearman`.
    pub name: &'static str,
    /// Its value; not a number where it is undefined, as the correlation with a constant is.
    pub value: f64,
}

/// The scores of a task, the first being the one by which settings are chosen.
///
/// # Errors
/// [`GlueError::Score`] if there is no prediction, or not one for every label.
pub fn scores(task: Task, predictions: &[f64], labels: &[f64]) -> Result<Vec<Score>, GlueError> {
    if predictions.len() != labels.len() || labels.is_empty() {
        let found = format!("{} predictions", predictions.len());
        let expected = format!("one for each of {} labels", labels.len());
        return Err(GlueError::Score { what: "predictions", found, expected });
    }
    let score = |name, f: fn(&[f64], &[f64]) -> f64| Score { name, value: f(predictions, labels) };
    Ok(match task {
        Task::Cola => vec![score("matthews", matthews), score("accuracy", accuracy)],
        Task::Mrpc => vec![score("f1", f1), score("accuracy", accuracy)],
        Task::StsB => vec![score("pearson", pearson), score("spearman", spearman)],
        Task::Rte => vec![score("accuracy", accuracy)],
    })
}

/// Share of equal labels.
pub fn accuracy(predictions: &[f64], labels: &[f64]) -> f64 {
    let hits = predictions.iter().zip(labels).filter(|(p, y)| p == y).count();
    hits as f64 / labels.len() as f64
}

/// Counts of (prediction, label) pairs of two classes, by `[prediction][label]`.
fn confusion(predictions: &[f64], labels: &[f64]) -> [[f64; 2]; 2] {
    let mut counts = [[0.0; 2]; 2];
    for (p, y) in predictions.iter().zip(labels) {
        counts[usize::from(*p == 1.0)][usize::from(*y == 1.0)] += 1.0;
    }
    counts
}

/// Harmonic mean of precision and recall of class 1; 0 where nothing is or is said to be of class 1.
pub fn f1(predictions: &[f64], labels: &[f64]) -> f64 {
    let [[_, missed], [wrong, hits]] = confusion(predictions, labels);
    let all = 2.0 * hits + wrong + missed;
    if all == 0.0 { 0.0 } else { 2.0 * hits / all }
}

/// Matthews' correlation of two classes; 0 where predictions or labels are all alike.
pub fn matthews(predictions: &[f64], labels: &[f64]) -> f64 {
    let [[rejected, missed], [wrong, hits]] = confusion(predictions, labels);
    let product = (hits + wrong) * (hits + missed) * (rejected + wrong) * (rejected + missed);
    if product == 0.0 { 0.0 } else { (hits * rejected - wrong * missed) / product.sqrt() }
}

/// Pearson's correlation; not a number for a constant.
pub fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let centred = |x: &[f64]| -> Vec<f64> {
        let mean = order::mean(x).unwrap_or(f64::NAN);
        x.iter().map(|x| x - mean).collect()
    };
    // a constant has no deviations, though its mean may be rounded
    if [x, y].iter().any(|x| x.windows(2).all(|pair| pair[0] == pair[1])) {
        return f64::NAN;
    }
    let (x, y) = (centred(x), centred(y));
    let norms = order::sum_of_squares(&x).sqrt() * order::sum_of_squares(&y).sqrt();
    (order::dot(&x, &y) / norms).clamp(-1.0, 1.0)
}

/// Spearman's correlation: Pearson's of ranks, ties at their mean rank.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    pearson(&ranks(x), &ranks(y))
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut ranks = vec![0.0; x.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|i| x[**i] == x[order[start]]).count().max(1);
        for i in &order[start..start + tied] {
            ranks[*i] = start as f64 + f64::midpoint(tied as f64, 1.0);
        }
        start += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values by scikit-learn 1.9.1 and scipy 1.17.1: `matthews_corrcoef`, `f1_score`, `accuracy_score`, `pearsonr`,
    /// `spearmanr`.
    #[test]
    fn scores_are_those_of_scikit_learn_and_scipy() {
        let p = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
        let y = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0];
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(accuracy(&p, &y), 0.7);
        close(f1(&p, &y), 8.0 / 11.0);
        // (4 * 3 - 2 * 1) / sqrt(6 * 5 * 5 * 4)
        close(matthews(&p, &y), 10.0 / 600.0_f64.sqrt());
        let a = [1.0, 2.0, 2.0, 3.5, -1.0, 2.0, 0.25];
        let b = [0.5, 2.5, 2.0, 5.0, 0.5, 1.0, 1.0];
        close(pearson(&a, &b), 0.809_043_902_552_795_2);
        close(spearman(&a, &b), 0.849_207_775_608_446_8);
    }

    #[test]
    fn one_class_constants_and_what_is_no_number() {
        let ones = [1.0; 5];
        let mixed = [1.0, 0.0, 1.0, 1.0, 0.0];
        let zeros = [0.0; 5];
        assert_eq!([matthews(&ones, &mixed), matthews(&mixed, &ones)], [0.0; 2]);
        assert_eq!([f1(&zeros, &mixed), f1(&zeros, &zeros), f1(&mixed, &zeros)], [0.0; 3]);
        assert!((f1(&ones, &mixed) - 0.75).abs() < 1e-15);
        assert!(pearson(&ones, &mixed).is_nan() && spearman(&mixed, &zeros).is_nan());
        let constant = [0.1; 7];
        assert!(pearson(&constant, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]).is_nan());
        let broken = [1.0, f64::NAN, 0.0, 1.0, 2.0];
        assert!(pearson(&broken, &mixed).is_nan());
        assert!(scores(Task::Rte, &[], &[]).is_err() && scores(Task::Rte, &ones, &[1.0]).is_err());
    }
}
