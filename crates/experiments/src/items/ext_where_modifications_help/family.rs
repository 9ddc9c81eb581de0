//! Predictions of one prompt: the mean of the answer under normal priors, and the families of attention weights that
//! symmetry leaves; the best weights of a family.

use artifact::statistics::standard_error;
use icl_numerics::cholesky::solve;
use icl_numerics::{largest, math, order};

/// Variance that is given to labels without noise, so that systems stay regular; they are rounded to single
/// precision, which is less.
const ROUNDED: f64 = 1e-9;

/// What a family sees of a prompt.
pub(super) struct View {
    /// What `beta` multiplies in the scores: `x_i . x_q`, the query's own last.
    products: Vec<f64>,
    /// What is read: `y_i`, the query's own last.
    labels: Vec<f64>,
    /// First coordinates of the inputs, the query's last.
    first: Vec<f64>,
    target: f64,
}

/// Scores `beta x_i . x_q + agreement y_i g`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores {
    pub(super) beta: f64,
    pub(super) agreement: f64,
}

impl View {
    /// Of inputs and labels, the query's last, and the query's answer.
    pub(super) fn new(x: &[Vec<f64>], labels: Vec<f64>, target: f64) -> Self {
        let query = x.last().map_or(&[][..], |query| query);
        let products = x.iter().map(|x| order::dot(x, query)).collect();
        Self { products, labels, first: x.iter().map(|x| x[0]).collect(), target }
    }

    /// The view with `y_i x_q1` in place of `x_i . x_q` and `x_i1` in place of `y_i`.
    pub(super) fn mirrored(&self) -> Self {
        let own = self.first[self.first.len() - 1];
        let products = self.labels.iter().map(|label| label * own).collect();
        let (labels, first) = (self.first.clone(), self.labels.clone());
        Self { products, labels, first, target: self.target }
    }

    /// `sum_i p_i y_i + keep p_q g`, and `p_q`.
    pub(super) fn smoothed(&self, scores: Scores, keep: f64) -> [f64; 2] {
        let n = self.labels.len() - 1;
        let guess = self.labels[n];
        let score = |(product, label): (&f64, &f64)| {
            scores.beta * product + scores.agreement * label * guess
        };
        let mut weights: Vec<f64> = self.products.iter().zip(&self.labels).map(score).collect();
        let shift = largest::value(weights.iter().copied());
        weights.iter_mut().for_each(|weight| *weight = math::exp_of_negative(*weight - shift));
        let total = order::sum(&weights);
        let sum = order::dot(&weights, &self.labels) - (1.0 - keep) * weights[n] * guess;
        [sum / total, weights[n] / total]
    }
}

/// Weights of the family.
pub(super) struct Best {
    pub(super) scores: Scores,
    pub(super) c: f64,
}

/// The best weights with a `beta` of the given sign on given prompts: powers of two for `beta`, then steps along one
/// coordinate after the other (`ln |beta|`, and `agreement` if two are free) that are halved where none helps.
pub(super) fn search(views: &[View], keep: f64, sign: f64, free: usize) -> Best {
    let targets: Vec<f64> = views.iter().map(|view| view.target).collect();
    let labels: Vec<f64> = views.iter().map(|view| view.labels[0]).collect();
    let unit = views.len() as f64 / order::sum_of_squares(&labels);
    let scores = |[x, y]: [f64; 2]| Scores { beta: sign * math::exp(x), agreement: y * unit };
    let fit = |at: [f64; 2]| {
        let sums: Vec<f64> = views.iter().map(|view| view.smoothed(scores(at), keep)[0]).collect();
        let (along, square) = (order::dot(&sums, &targets), order::sum_of_squares(&sums));
        (-along * along / square, along / square)
    };
    let starts = (-4..5).map(|k| [f64::from(k) * std::f64::consts::LN_2, 0.0]);
    let (mut at, mut low) = ([0.0; 2], f64::INFINITY);
    for start in starts {
        let value = fit(start).0;
        if value < low {
            (at, low) = (start, value);
        }
    }
    let mut step = 0.4;
    while step > 0.01 {
        let before = low;
        for (axis, direction) in (0..free).flat_map(|axis| [(axis, 1.0), (axis, -1.0)]) {
            let mut next = at;
            next[axis] += direction * step;
            let value = fit(next).0;
            if value < low {
                (at, low) = (next, value);
            }
        }
        if low == before {
            step /= 2.0;
        }
    }
    Best { scores: scores(at), c: fit(at).1 }
}

/// `k_q^T (K + diag v)^{-1} y`.
pub(super) fn ridge(x: &[Vec<f64>], y: &[f64], variances: &[f64], query: &[f64]) -> f64 {
    let mut gram: Vec<Vec<f64>> =
        x.iter().map(|x_i| x.iter().map(|x_j| order::dot(x_i, x_j)).collect()).collect();
    for (i, variance) in variances.iter().enumerate() {
        gram[i][i] += largest::at_least(*variance, ROUNDED);
    }
    let products: Vec<f64> = x.iter().map(|x| order::dot(x, query)).collect();
    order::dot(&solve(gram, 0.0, y), &products)
}

/// Mean squared error relative to the target's mean square, above that of `base` if there is one, and its standard error
/// over prompts, by the linearised residuals of the ratio.
pub(super) fn excess(views: &[View], predictions: &[f64], base: Option<&[f64]>) -> [f64; 2] {
    let square = |x: f64| x * x;
    let targets: Vec<f64> = views.iter().map(|view| square(view.target)).collect();
    let error = |(i, view): (usize, &View)| {
        let base = base.map_or(0.0, |base| square(base[i] - view.target));
        square(predictions[i] - view.target) - base
    };
    let errors: Vec<f64> = views.iter().enumerate().map(error).collect();
    let scale = order::sum(&targets);
    let ratio = order::sum(&errors) / scale;
    let residual = |(error, target): (&f64, &f64)| error - ratio * target;
    let residuals: Vec<f64> = errors.iter().zip(&targets).map(residual).collect();
    [ratio, standard_error(&residuals) * views.len() as f64 / scale]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One label of one input in one dimension: `w` given `y = w x + e` has the mean `x y / (x^2 + v)`; two labels add
    /// their precisions.
    #[test]
    fn the_mean_given_one_label_and_two_is_the_normal_posteriors() {
        let (x, y, v) = ([vec![2.0], vec![-1.0]], [3.0, 0.5], [0.5, 2.0]);
        let one = ridge(&x[..1], &y[..1], &v[..1], &[1.5]);
        assert!((one - 1.5 * 2.0 * 3.0 / 4.5).abs() < 1e-14, "{one}");
        let two = ridge(&x, &y, &v, &[1.5]);
        let mean = (2.0 * 3.0 / 0.5 - 0.5 / 2.0) / (1.0 + 4.0 / 0.5 + 1.0 / 2.0);
        assert!((two - 1.5 * mean).abs() < 1e-14, "{two}");
        // exact labels determine the answer
        let exact = ridge(&[vec![2.0]], &[3.0], &[0.0], &[1.5]);
        assert!((exact - 2.25).abs() < 1e-8, "{exact}");
    }

    #[test]
    fn alpha_scales_the_guess_alone_and_a_masked_label_not_at_all() {
        let mut view = View {
            products: vec![0.3, -1.0, 0.8],
            labels: vec![1.0, -0.5, 2.0],
            first: vec![0.1, 0.2, 0.3],
            target: 1.0,
        };
        let scores = Scores { beta: -0.7, agreement: 0.2 };
        let [[all, mass], [half, same], [none, _]] =
            [1.0, 0.5, 0.0].map(|keep| view.smoothed(scores, keep));
        assert!(mass == same && (all - none - 2.0 * mass).abs() < 1e-14);
        assert!((2.0 * half - all - none).abs() < 1e-14);
        view.labels[2] = 0.0;
        assert_eq!(view.smoothed(scores, 1.0), view.smoothed(scores, 0.0));
    }

    #[test]
    fn an_error_is_relative_to_the_targets_and_to_its_base() {
        let view = |target: f64| View { products: vec![], labels: vec![], first: vec![], target };
        let views = [view(1.0), view(-2.0)];
        assert_eq!(excess(&views, &[0.0, 0.0], None), [1.0, 0.0]);
        let [above, error] = excess(&views, &[0.0, -2.0], Some(&[1.0, 0.0]));
        // errors 1 and 0 against 0 and 4: -3/5; residuals 1 + 3/5 and -4 + 12/5 of mean 0, variance 5.12
        assert!((above + 0.6).abs() < 1e-15 && (error - 2.56_f64.sqrt() * 2.0 / 5.0).abs() < 1e-14);
    }
}
