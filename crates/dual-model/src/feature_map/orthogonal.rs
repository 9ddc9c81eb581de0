//! Positive features with orthogonal rows.

use super::{Entry, Estimate, FeatureMap, Positive, Scaled, gaussian_rows, shifted, squared_sum};
use icl_numerics::stream::Stream;
use icl_numerics::{largest, math, order};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "orthogonal",
    title: "Positive features with orthogonal rows",
    equation: "exp(omega . x - |x|^2/2) / sqrt(d_r), rows in Haar blocks of d, lengths chi(d)",
    variance: "positive's + b e^{-|x|^2-|y|^2} (M(d, d/2, z/2) - e^z) / d_r^2, b pairs in one block",
    options: "",
    source: "K. Choromanski et al. (2021); the closed form is ours",
    examples: &[""],
    estimate: Estimate::Unbiased,
    fitted: false,
    build: |_, setting| Ok(Box::new(Orthogonal::new(setting.stream, setting.d_r, setting.d))),
};

/// Positive features whose rows are, in blocks of `d`, a Haar-distributed orthogonal basis with
/// independent `chi(d)` lengths; every row alone is `N(0, I)`.
///
/// Variance: that of independent rows plus, for every ordered pair of rows in one block, the covariance
/// `e^{-|x|^2-|y|^2} (M(d, d/2, z/2) - e^z) / m^2 <= 0` with Kummer's function `M`: the sum of two such
/// rows has a uniform direction and a squared length of `chi^2(2d)`, and the mean of `exp(w . u)` over
/// directions is a series in `|w|^{2k}`, whose moments are those of `chi^2(2d)`.
/// Source of the map: K. Choromanski et al. (2021); the closed form is derived here.
#[derive(Debug, Clone)]
pub struct Orthogonal {
    map: Positive,
    m: usize,
    d: usize,
}

impl Orthogonal {
    /// `m` rows for inputs of size `d`.
    pub fn new(stream: &Stream, m: usize, d: usize) -> Self {
        Self { map: Positive::new(orthogonal_rows(stream, m, d)), m, d }
    }

    /// Ordered pairs of different rows of one block.
    fn pairs(&self) -> f64 {
        let (blocks, rest) = (self.m / self.d, self.m % self.d);
        (blocks * self.d * (self.d - 1) + rest * rest.saturating_sub(1)) as f64
    }
}

/// `m` rows in orthogonal blocks of `d`.
///
/// Gram-Schmidt on Gaussian rows, twice for rounding, gives the factor Q of a QR decomposition with
/// positive diagonal, which is Haar distributed. Lengths are those of further Gaussian rows.
pub fn orthogonal_rows(stream: &Stream, m: usize, d: usize) -> Vec<Vec<f64>> {
    let gaussian = gaussian_rows(stream, 2 * m.next_multiple_of(d), d);
    let (directions, lengths) = gaussian.split_at(gaussian.len() / 2);
    let mut rows = Vec::with_capacity(directions.len());
    for block in directions.chunks_exact(d) {
        let mut basis: Vec<Vec<f64>> = Vec::with_capacity(d);
        for row in block {
            let mut row = row.clone();
            for _ in 0..2 {
                for other in &basis {
                    let along = order::dot(&row, other);
                    row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
                }
            }
            let norm = order::sum_of_squares(&row).sqrt();
            row.iter_mut().for_each(|x| *x /= norm);
            basis.push(row);
        }
        rows.extend(basis);
    }
    let scaled = |(row, other): (Vec<f64>, &Vec<f64>)| {
        let length = order::sum_of_squares(other).sqrt();
        row.into_iter().map(|x| length * x).collect()
    };
    rows.into_iter().zip(lengths).take(m).map(scaled).collect()
}

/// Kummer's `M(a, b, x) = sum_k (a)_k x^k / ((b)_k k!)` for positive arguments, summed until a term no
/// longer counts.
fn kummer(a: f64, b: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while term > sum * f64::EPSILON / 4.0 && k < 1e5 {
        term *= (a + k) * x / ((b + k) * (k + 1.0));
        sum += term;
        k += 1.0;
    }
    sum
}

/// Largest `(|a|^2 + |b|^2)/2` of [`block_moment`]: its terms are numbers of `f64`.
const LARGEST_EXPONENT: f64 = 100.0;

/// `E exp(omega . a + omega' . b) e^{-(|a|^2 + |b|^2)/2}` of two different rows of one block; `None` beyond exponents of
/// 100.
///
/// With lengths `r`, `r'` the mean over directions is Herz's `0F1(d/2; S/4)` of the matrix
/// `S = [r^2 |a|^2, r r' a.b; r r' a.b, r'^2 |b|^2]`, a series in its determinant and trace
/// (R. Muirhead, 1975); `E r^{2p} = 2^p (d/2)_p`. With `c = d/2` and `g = (|a|^2 |b|^2 - (a.b)^2)/4`:
///
/// ```text
/// sum_{k,i,j} g^k (|a|^2/2)^i (|b|^2/2)^j (c)_{i+k} (c)_{j+k} / ((c - 1/2)_k (c)_{2k+i+j} k! i! j!)
/// ```
fn block_moment([a, b]: [&[f64]; 2]) -> Option<f64> {
    let squares = [a, b].map(order::sum_of_squares);
    let (c, exponent) = (a.len() as f64 / 2.0, (squares[0] + squares[1]) / 2.0);
    if exponent.is_nan() || exponent > LARGEST_EXPONENT {
        return None;
    }
    let product = order::dot(a, b);
    let g = largest::at_least((squares[0] * squares[1] - product * product) / 4.0, 0.0);
    // g^k (c)_k^2 / ((c - 1/2)_k (c)_2k k!)
    let (mut factor, mut sum) = (1.0, 0.0);
    for k in 0..TERMS {
        let term = factor * inner_sum(c, k as f64, squares.map(|square| square / 2.0));
        sum += term;
        if term <= sum * f64::EPSILON / 4.0 {
            break;
        }
        let k = k as f64;
        factor *= g * (c + k) * (c + k)
            / ((c - 0.5 + k) * (c + 2.0 * k) * (c + 2.0 * k + 1.0) * (k + 1.0));
    }
    Some(sum * math::exp(-exponent))
}

/// Most terms of a series.
const TERMS: usize = 400;

/// `sum_{i,j} x^i y^j (c+k)_i (c+k)_j / ((c+2k)_{i+j} i! j!)`, until the terms of one `i + j` no longer count.
fn inner_sum(c: f64, k: f64, [x, y]: [f64; 2]) -> f64 {
    let (mut of_x, mut of_y): (Vec<f64>, Vec<f64>) = (vec![1.0], vec![1.0]);
    let (mut below, mut sum) = (1.0, 1.0);
    for n in 1..TERMS {
        let step = |last: f64, x: f64| last * x * (c + k + (n - 1) as f64) / n as f64;
        of_x.push(step(of_x[n - 1], x));
        of_y.push(step(of_y[n - 1], y));
        below *= c + 2.0 * k + (n - 1) as f64;
        let terms: f64 = (0..=n).map(|i| of_x[i] * of_y[n - i]).sum();
        sum += terms / below;
        if terms / below <= sum * f64::EPSILON / 4.0 {
            break;
        }
    }
    sum
}

impl FeatureMap for Orthogonal {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        self.map.key_features(x)
    }

    fn scaled_key_features(&self, x: &[f64]) -> Scaled {
        self.map.scaled_key_features(x)
    }

    fn scaled_query_features(&self, x: &[f64]) -> Scaled {
        self.map.scaled_query_features(x)
    }

    fn variance(&self, x: &[f64], y: &[f64]) -> Option<f64> {
        let (m, d) = (self.m, self.d);
        let z = squared_sum(x, y);
        let pairs = self.pairs();
        let norms = order::dot(x, x) + order::dot(y, y);
        let both = kummer(d as f64, d as f64 / 2.0, z / 2.0);
        let covariance = math::exp(-norms) * (both - math::exp(z));
        Some(self.map.variance(x, y)? + pairs * covariance / (m * m) as f64)
    }

    fn rows(&self) -> usize {
        self.m
    }

    /// That of one row alone: the rows of a block are not independent.
    fn row_moment(&self, x: &[f64], keys: &[&[f64]]) -> Option<f64> {
        self.map.row_moment(x, keys)
    }

    fn relative_covariance(&self, x: &[f64], keys: [&[f64]; 2]) -> Option<f64> {
        let own = self.map.relative_covariance(x, keys)?;
        let sums = shifted(x, &keys, 1.0);
        let between = match self.pairs() {
            0.0 => 0.0,
            pairs => pairs * (block_moment([&sums[0], &sums[1]])? - 1.0),
        };
        Some(own + between / (self.m * self.m) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn blocks_are_orthogonal_and_lengths_have_the_chi_squared_mean() {
        let (m, d) = (2100, 7);
        let rows = orthogonal_rows(&Stream::new(1, "orthogonal"), m, d);
        for block in rows.chunks_exact(d) {
            for (i, j) in (0..d).flat_map(|i| (0..i).map(move |j| (i, j))) {
                let scale = order::dot(&block[i], &block[i]).sqrt()
                    * order::dot(&block[j], &block[j]).sqrt();
                assert!(order::dot(&block[i], &block[j]).abs() < 1e-14 * scale);
            }
        }
        let squares: Vec<f64> = rows.iter().map(|row| order::dot(row, row)).collect();
        // chi^2(7) has mean 7 and variance 14
        Tolerance::monte_carlo(14.0_f64.sqrt(), m, 5.0).assert_close(
            order::mean(&squares).unwrap(),
            7.0,
            1.0,
            "mean squared length",
        );
    }

    #[test]
    fn two_rows_of_a_block_have_the_moment_of_kummer_for_one_key_and_of_independent_rows_for_none()
    {
        let t = Tolerance::roundoff_f64(400);
        let a = [0.9, -1.3, 0.4, 2.0];
        let z = order::sum_of_squares(&a);
        let want = kummer(4.0, 2.0, z / 2.0) * math::exp(-z);
        t.assert_close(block_moment([&a, &a]).unwrap(), want, 1.0, "a = b");
        t.assert_close(block_moment([&a, &[0.0; 4]]).unwrap(), 1.0, 1.0, "b = 0");
        assert!(block_moment([&[20.0; 4], &a]).is_none());
    }

    #[test]
    fn kummer_has_its_elementary_values() {
        let t = Tolerance::roundoff_f64(60);
        t.assert_close(kummer(3.0, 3.0, 2.0), math::exp(2.0), 8.0, "M(a, a, x) = e^x");
        t.assert_close(kummer(1.0, 2.0, 2.0), math::expm1(2.0) / 2.0, 4.0, "M(1, 2, x)");
    }
}
