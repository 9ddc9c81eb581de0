//! Eigenvalues, eigenvectors and roots of symmetric matrices.

use crate::{largest, order};

/// Sweeps of rotations; five are enough for rounding at the sizes in use, since convergence is quadratic.
const SWEEPS: usize = 12;

/// Eigenvalues and eigenvectors of a symmetric matrix `[n, n]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// In no particular order, `[n]`.
    pub values: Vec<f64>,
    /// Column `k` belongs to value `k`; orthonormal, `[n, n]`, row by row.
    pub vectors: Vec<f64>,
}

/// The decomposition of a symmetric matrix `[n, n]`, row by row, by Jacobi's rotations.
///
/// Error: a few `n eps` times the matrix's norm. Only the order of rotations and `+ - * / sqrt` decide the bits.
///
/// # Panics
/// If `a` is no square.
#[must_use]
pub fn eigen(mut a: Vec<f64>, n: usize) -> Eigen {
    assert_eq!(a.len(), n * n, "eigen: not a square");
    let mut vectors: Vec<f64> =
        (0..n * n).map(|ij| f64::from(u8::from(ij / n == ij % n))).collect();
    let total = order::sum_of_squares(&a);
    for _ in 0..SWEEPS {
        let off: f64 = (0..n * n).filter(|ij| ij / n != ij % n).map(|ij| a[ij] * a[ij]).sum();
        if off <= f64::EPSILON * f64::EPSILON * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, [p, q]);
            }
        }
    }
    Eigen { values: (0..n).map(|i| a[i * n + i]).collect(), vectors }
}

/// The rotation of axes `p` and `q` that makes their entry zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, [p, q]: [usize; 2]) {
    let entry = a[p * n + q];
    if entry == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * entry);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for matrix in [&mut *a, vectors] {
        for k in 0..n {
            let (x, y) = (matrix[k * n + p], matrix[k * n + q]);
            (matrix[k * n + p], matrix[k * n + q]) = (c * x - s * y, s * x + c * y);
        }
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
    }
}

/// The positive root `R` of a positive semidefinite matrix, `R R = A`; eigenvalues that are rounded below zero count as
/// zero.
#[must_use]
pub fn root(a: Vec<f64>, n: usize) -> Vec<f64> {
    let Eigen { values, vectors } = eigen(a, n);
    let roots: Vec<f64> = values.iter().map(|x| largest::at_least(*x, 0.0).sqrt()).collect();
    let entry = |ij: usize| {
        let (i, j) = (ij / n, ij % n);
        (0..n).map(|k| vectors[i * n + k] * roots[k] * vectors[j * n + k]).sum()
    };
    (0..n * n).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_known_matrices() {
        let sorted = |a: &[f64], n: usize| {
            let mut values = eigen(a.to_vec(), n).values;
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
        assert!(eigen(vec![f64::NAN; 4], 2).values[0].is_nan());
    }

    #[test]
    fn traces_of_powers_are_sums_of_powers() {
        let n = 6;
        let entry = |i: usize, j: usize| ((i * j + i + j) % 7) as f64 - 3.0;
        let a: Vec<f64> = (0..n * n).map(|ij| entry(ij / n, ij % n)).collect();
        let values = eigen(a.clone(), n).values;
        let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
        assert!((values.iter().sum::<f64>() - trace).abs() < 1e-12);
        let squares: f64 = values.iter().map(|x| x * x).sum();
        assert!((squares - a.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-11);
    }

    #[test]
    fn a_root_squared_is_the_matrix() {
        let n = 4;
        // B B^T with three columns: one eigenvalue is zero
        let b = |i: usize, k: usize| ((3 * i + 5 * k) % 7) as f64 - 2.0;
        let product = |i: usize, j: usize| (0..3).map(|k| b(i, k) * b(j, k)).sum::<f64>();
        let a: Vec<f64> = (0..n * n).map(|ij| product(ij / n, ij % n)).collect();
        let r = root(a.clone(), n);
        for ij in 0..n * n {
            let square: f64 = (0..n).map(|k| r[ij / n * n + k] * r[k * n + ij % n]).sum();
            assert!((square - a[ij]).abs() < 1e-12, "{ij}: {square} {}", a[ij]);
        }
        let Eigen { values, vectors } = eigen(a.clone(), n);
        for (k, value) in values.iter().enumerate() {
            for i in 0..n {
                let image: f64 = (0..n).map(|j| a[i * n + j] * vectors[j * n + k]).sum();
                assert!((image - value * vectors[i * n + k]).abs() < 1e-12);
            }
        }
    }
}
