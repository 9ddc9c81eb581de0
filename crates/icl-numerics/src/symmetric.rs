//! Eigenvalues and eigenvectors of small symmetric matrices.

use crate::order;

/// Most sweeps over all pairs; a handful suffice.
const SWEEPS: usize = 64;

/// Eigenvalues, descending, and the eigenvectors as rows, of a symmetric matrix given by rows, by cyclic Jacobi rotations.
///
/// Additions, multiplications and roots only, so the bits are the same on every CPU. Error: some `eps` of the largest
/// eigenvalue; the rows are orthonormal to rounding.
///
/// # Panics
/// If the matrix is not square.
pub fn eigen(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    assert!(matrix.iter().all(|row| row.len() == n), "eigen: the matrix is not square");
    let mut a = matrix.to_vec();
    let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect();
    let mut vectors: Vec<Vec<f64>> = (0..n).map(unit).collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                // below rounding of the diagonal an entry counts as zero
                let small = f64::EPSILON * (a[p][p].abs() * a[q][q].abs()).sqrt();
                if a[p][q].abs() > small && a[p][q].abs() > f64::MIN_POSITIVE {
                    rotate(&mut a, &mut vectors, [p, q]);
                    turned = true;
                }
            }
        }
        if !turned {
            break;
        }
    }
    let mut ranking: Vec<usize> = (0..n).collect();
    ranking.sort_by(|i, j| a[*j][*j].total_cmp(&a[*i][*i]).then(i.cmp(j)));
    let values = ranking.iter().map(|i| a[*i][*i]).collect();
    (values, ranking.into_iter().map(|i| vectors[i].clone()).collect())
}

/// The rotation of coordinates `p`, `q` that makes their entry zero.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], [p, q]: [usize; 2]) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = 1.0_f64.copysign(theta) / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    for row in a.iter_mut() {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (c * x - s * y, s * x + c * y);
    }
    for rows in [a, vectors] {
        for j in 0..rows[p].len() {
            let (x, y) = (rows[p][j], rows[q][j]);
            (rows[p][j], rows[q][j]) = (c * x - s * y, s * x + c * y);
        }
    }
}

/// `sum_i values_i v_i v_i^T`, by rows.
pub fn compose(values: &[f64], vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = vectors.first().map_or(0, Vec::len);
    let entry = |i: usize, j: usize| {
        let terms: Vec<f64> =
            values.iter().zip(vectors).map(|(value, v)| value * v[i] * v[j]).collect();
        order::sum(&terms)
    };
    (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::largest;
    use crate::stream::Stream;

    #[test]
    fn a_matrix_of_known_eigenvalues_is_taken_apart_and_put_together() {
        let stream = Stream::new(0, "symmetric");
        let (values, _) = eigen(&[vec![2.0, 1.0], vec![1.0, 2.0]]);
        assert!((values[0] - 3.0).abs() < 1e-15 && (values[1] - 1.0).abs() < 1e-15);
        for n in [1, 2, 7, 12] {
            let mut draws = stream.sample(n as u64);
            let rows: Vec<Vec<f64>> =
                (0..n).map(|_| (0..n).map(|_| draws.normal()).collect()).collect();
            let entry = |i: usize, j: usize| order::dot(&rows[i], &rows[j]);
            let matrix: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
            let (values, vectors) = eigen(&matrix);
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            let again = compose(&values, &vectors);
            assert!(largest::difference(&again.concat(), &matrix.concat()) < 1e-13 * values[0]);
            for (i, v) in vectors.iter().enumerate() {
                for (j, w) in vectors.iter().enumerate() {
                    let want = f64::from(u8::from(i == j));
                    assert!((order::dot(v, w) - want).abs() < 1e-13);
                }
            }
        }
    }
}
