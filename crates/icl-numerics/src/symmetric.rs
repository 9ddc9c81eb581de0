//! Eigenvalues of symmetric matrices.

use crate::order;

/// Sweeps of rotations; five are enough for rounding at the sizes in use, since convergence is quadratic.
const SWEEPS: usize = 12;

/// Eigenvalues of a symmetric matrix `[n, n]`, row by row, by Jacobi's rotations; in no particular order.
///
/// Error: a few `n eps` times the matrix's norm. Only the order of rotations and `+ - * / sqrt` decide the bits.
///
/// # Panics
/// If `a` is no square.
#[must_use]
pub fn eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    assert_eq!(a.len(), n * n, "eigenvalues: not a square");
    let total = order::sum_of_squares(&a);
    for _ in 0..SWEEPS {
        let off: f64 = (0..n * n).filter(|ij| ij / n != ij % n).map(|ij| a[ij] * a[ij]).sum();
        if off <= f64::EPSILON * f64::EPSILON * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, n, p, q);
            }
        }
    }
    (0..n).map(|i| a[i * n + i]).collect()
}

/// The rotation of axes `p` and `q` that makes their entry zero.
fn rotate(a: &mut [f64], n: usize, p: usize, q: usize) {
    let entry = a[p * n + q];
    if entry == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * entry);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_known_matrices() {
        let sorted = |a: &[f64], n: usize| {
            let mut values = eigenvalues(a.to_vec(), n);
            values.sort_by(f64::total_cmp);
            values
        };
        let two = sorted(&[2.0, 1.0, 1.0, 2.0], 2);
        assert!((two[0] - 1.0).abs() < 1e-15 && (two[1] - 3.0).abs() < 1e-15, "{two:?}");
        // the second difference on three points: 2 - 2 cos(k pi / 4)
        let three = sorted(&[2.0, -1.0, 0.0, -1.0, 2.0, -1.0, 0.0, -1.0, 2.0], 3);
        let root = 2.0_f64.sqrt();
        for (found, want) in three.iter().zip([2.0 - root, 2.0, 2.0 + root]) {
            assert!((found - want).abs() < 1e-14, "{three:?}");
        }
        assert_eq!(sorted(&[3.0, 0.0, 0.0, -1.0], 2), [-1.0, 3.0]);
        assert!(eigenvalues(vec![f64::NAN; 4], 2)[0].is_nan());
    }

    #[test]
    fn traces_of_powers_are_sums_of_powers() {
        let n = 6;
        let entry = |i: usize, j: usize| ((i * j + i + j) % 7) as f64 - 3.0;
        let a: Vec<f64> = (0..n * n).map(|ij| entry(ij / n, ij % n)).collect();
        let values = eigenvalues(a.clone(), n);
        let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
        assert!((values.iter().sum::<f64>() - trace).abs() < 1e-12);
        let squares: f64 = values.iter().map(|x| x * x).sum();
        assert!((squares - a.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-11);
    }
}
