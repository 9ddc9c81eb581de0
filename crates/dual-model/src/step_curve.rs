//! The distance to attention along the dual's steps, and its closed form over random orders.
//!
//! With `a_j = K(k_j, q) v_j / D` the increments of the output, the residual after `i` steps is the tail
//! sum of the increments not yet added, whatever the order; it is zero after `N` steps. Theory:
//! `docs/theory.md`, section 8.

use icl_numerics::order;

/// Euclidean distance.
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    order::sum_of_squares(&difference).sqrt()
}

/// `E |f_i(q) - h'|^2` over uniformly random orders, `i = 0..=N`:
///
/// ```text
/// (r/N)^2 |S|^2 + r (N - r) / (N (N - 1)) sum_j |a_j - mean(a)|^2,   S = sum_j a_j,   r = N - i
/// ```
///
/// the second moment of the sum of `r` of the `N` increments drawn without replacement.
pub fn mean_square_curve(increments: &[Vec<f64>]) -> Vec<f64> {
    let n = increments.len() as f64;
    let d_v = increments.first().map_or(0, Vec::len);
    let column = |c: usize| increments.iter().map(|a| a[c]).collect::<Vec<_>>();
    let totals: Vec<f64> = (0..d_v).map(|c| order::sum(&column(c))).collect();
    let deviation = |a: &Vec<f64>| {
        let centred: Vec<f64> = a.iter().zip(&totals).map(|(a, s)| a - s / n).collect();
        order::sum_of_squares(&centred)
    };
    let spread = order::sum(&increments.iter().map(deviation).collect::<Vec<_>>());
    let square = order::sum_of_squares(&totals);
    let at = |i: usize| {
        let r = n - i as f64;
        let pairs = if increments.len() > 1 { r * (n - r) / (n * (n - 1.0)) } else { 0.0 };
        (r / n) * (r / n) * square + pairs * spread
    };
    (0..=increments.len()).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    /// Three increments: the mean over all six orders, enumerated.
    #[test]
    fn closed_form_equals_the_mean_over_all_orders() {
        let a = [vec![1.0, 2.0], vec![-3.0, 0.5], vec![0.25, -1.0]];
        let closed = mean_square_curve(&a);
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        for i in 0..=3 {
            let tail = |order: &[usize; 3]| {
                let sum = |c: usize| order[i..].iter().map(|j| a[*j][c]).sum::<f64>();
                sum(0) * sum(0) + sum(1) * sum(1)
            };
            let mean = orders.iter().map(tail).sum::<f64>() / 6.0;
            Tolerance::roundoff_f64(8).assert_close(closed[i], mean, 20.0, "mean over orders");
        }
        assert_eq!(closed[3], 0.0);
    }
}
