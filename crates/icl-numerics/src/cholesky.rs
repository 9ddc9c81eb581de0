//! Systems of linear equations by Cholesky's factors.

use crate::{largest, order};

/// `(A + lambda)^{-1} b` for a symmetric positive semidefinite `A` `[n, n]`; a pivot that is rounded to zero or below is
/// taken for the smallest positive number.
#[must_use]
pub fn solve(mut a: Vec<Vec<f64>>, lambda: f64, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut z = b.to_vec();
    for i in 0..n {
        a[i][i] += lambda;
        for j in 0..=i {
            let known = order::dot(&a[i][..j], &a[j][..j]);
            a[i][j] = if i == j {
                largest::at_least(a[i][i] - known, f64::MIN_POSITIVE).sqrt()
            } else {
                (a[i][j] - known) / a[j][j]
            };
        }
        z[i] = (z[i] - order::dot(&a[i][..i], &z[..i])) / a[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| a[j][i] * z[j]).sum();
        z[i] = (z[i] - known) / a[i][i];
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_of_two_is_solved() {
        let a = vec![vec![4.0, 2.0], vec![2.0, 3.0]];
        let x = solve(a, 0.0, &[10.0, 9.0]);
        assert!((x[0] - 1.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12, "{x:?}");
        // a flat direction needs its ridge
        assert_eq!(solve(vec![vec![3.0, 0.0], vec![0.0, 0.0]], 1.0, &[8.0, 1.0]), [2.0, 1.0]);
    }
}
