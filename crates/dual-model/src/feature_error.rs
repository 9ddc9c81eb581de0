//! Errors of attention by random features, from the moments of its kernel's estimate.
//!
//! With relative errors `e_j` of the kernel's entries, softmax weights `w_j` and `e = sum_j w_j e_j`, that of the normaliser,
//!
//! ```text
//! w^_j - w_j = w_j (e_j - e) / (1 + e)          o^ - o = sum_j w_j (v_j - o) e_j / (1 + e)       (exact)
//! E (w^_j - w_j)^2 ~ w_j^2 Var(e_j - e)         E |o^ - o|^2 ~ sum_jl w_j w_l (v_j - o).(v_l - o) Cov(e_j, e_l)
//! ```
//!
//! The next terms of the expansion in `e` say how far the second line can be trusted. Theory: `docs/theory.md`, section 13.

use crate::feature_map::FeatureMap;
use icl_numerics::{largest, math, order};

/// One query, its keys and their values: a row of attention.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// Query, `[d]`.
    pub query: &'a [f64],
    /// Keys, `[n][d]`.
    pub keys: Vec<&'a [f64]>,
    /// Values, `[n][d_v]`.
    pub values: Vec<&'a [f64]>,
}

/// Softmax weights of a row and its output.
#[derive(Debug, Clone)]
pub struct Attended {
    /// `w_j`, `[n]`.
    pub weights: Vec<f64>,
    /// `o = sum_j w_j v_j`, `[d_v]`.
    pub output: Vec<f64>,
}

impl Row<'_> {
    /// Exact attention.
    pub fn softmax(&self) -> Attended {
        let logits: Vec<f64> = self.keys.iter().map(|key| order::dot(key, self.query)).collect();
        let top = largest::value(logits.iter().copied());
        self.normalised(logits.iter().map(|x| math::exp(x - top)).collect())
    }

    /// Attention by a feature map.
    pub fn by_features(&self, map: &dyn FeatureMap) -> Attended {
        let phi = map.query_features(self.query);
        self.normalised(self.keys.iter().map(|k| order::dot(&map.key_features(k), &phi)).collect())
    }

    /// Attention with these entries of a kernel, up to a common factor.
    pub fn normalised(&self, kernel: Vec<f64>) -> Attended {
        let total = order::sum(&kernel);
        let weights: Vec<f64> = kernel.into_iter().map(|entry| entry / total).collect();
        let size = self.values.first().map_or(0, |value| value.len());
        let channel = |c: usize| {
            let terms: Vec<f64> = weights.iter().zip(&self.values).map(|(w, v)| w * v[c]).collect();
            order::sum(&terms)
        };
        Attended { output: (0..size).map(channel).collect(), weights }
    }
}

/// Mean squares of a row's errors to first order, and by how much the next order would change them.
#[derive(Debug, Clone)]
pub struct FirstOrder {
    /// `Var e`, the relative variance of the normaliser.
    pub normaliser: f64,
    /// `E (w^_j - w_j)^2`, `[n]`.
    pub weights: Vec<f64>,
    /// `E |o^ - o|^2`.
    pub output: f64,
}

/// Relative change of the mean squares by the next order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NextOrder {
    /// Of `sum_j E (w^_j - w_j)^2`.
    pub weights: f64,
    /// Of `E |o^ - o|^2`.
    pub output: f64,
}

/// A row's moments under one map.
struct Moments {
    attended: Attended,
    /// `Cov(e_j, e_l)`.
    covariance: Vec<Vec<f64>>,
    /// `Cov(e_j, e)`.
    with_normaliser: Vec<f64>,
    /// `Var e`.
    normaliser: f64,
}

impl Moments {
    fn new(map: &dyn FeatureMap, row: &Row<'_>) -> Option<Self> {
        let n = row.keys.len();
        let mut covariance = vec![vec![0.0; n]; n];
        for j in 0..n {
            for l in 0..=j {
                let entry = map.relative_covariance(row.query, [row.keys[j], row.keys[l]])?;
                (covariance[j][l], covariance[l][j]) = (entry, entry);
            }
        }
        let attended = row.softmax();
        let with_normaliser: Vec<f64> =
            covariance.iter().map(|c| order::dot(c, &attended.weights)).collect();
        let normaliser = order::dot(&with_normaliser, &attended.weights);
        Some(Self { attended, covariance, with_normaliser, normaliser })
    }

    /// `Var(e_j - e)`.
    fn centred(&self, j: usize) -> f64 {
        self.covariance[j][j] - 2.0 * self.with_normaliser[j] + self.normaliser
    }

    /// `w_j (v_j - o)`, channel by channel: `[d_v][n]`.
    fn pulls(&self, row: &Row<'_>) -> Vec<Vec<f64>> {
        let channel = |(c, o): (usize, &f64)| {
            let pull = |(w, v): (&f64, &&[f64])| w * (v[c] - o);
            self.attended.weights.iter().zip(&row.values).map(pull).collect()
        };
        self.attended.output.iter().enumerate().map(channel).collect()
    }
}

/// `sum_jl x_j A_jl y_l`.
fn form(x: &[f64], matrix: &[Vec<f64>], y: &[f64]) -> f64 {
    let rows: Vec<f64> = matrix.iter().map(|row| order::dot(row, y)).collect();
    order::dot(x, &rows)
}

impl FirstOrder {
    /// The errors of `row` under `map`, whose estimate has the softmax kernel as mean; `None` if the map has no closed
    /// form.
    pub fn new(map: &dyn FeatureMap, row: &Row<'_>) -> Option<Self> {
        Some(Self::of(&Moments::new(map, row)?, row))
    }

    /// The same with the next order.
    pub fn with_next(map: &dyn FeatureMap, row: &Row<'_>) -> Option<(Self, NextOrder)> {
        let moments = Moments::new(map, row)?;
        Some((Self::of(&moments, row), NextOrder::of(&moments, map, row)?))
    }

    fn of(moments: &Moments, row: &Row<'_>) -> Self {
        let weights = moments.attended.weights.iter().enumerate();
        let pulls = moments.pulls(row);
        Self {
            weights: weights.map(|(j, w)| w * w * moments.centred(j)).collect(),
            output: pulls.iter().map(|u| form(u, &moments.covariance, u)).sum(),
            normaliser: moments.normaliser,
        }
    }
}

impl NextOrder {
    /// Of a square `x^2` of first order, `E x^2 (1 + e)^{-2} ~ E x^2 - 2 E x^2 e + 3 E x^2 e^2`; the last mean as of
    /// normal variables, which the mean of many rows is near to.
    ///
    /// `None` if the map has no closed third moments. Of orthogonal rows the third moments are those of independent ones.
    fn of(moments: &Moments, map: &dyn FeatureMap, row: &Row<'_>) -> Option<Self> {
        let with = third_with_normaliser(map, row, &moments.attended.weights)?;
        let w = &moments.attended.weights;
        let to_normaliser: Vec<f64> = with.iter().map(|t| order::dot(t, w)).collect();
        let own = order::dot(&to_normaliser, w);
        let (square, s) = (|x: f64| x * x, moments.normaliser);
        let (mut weights, mut total) = (0.0, 0.0);
        for j in 0..w.len() {
            let variance = moments.centred(j);
            let third = with[j][j] - 2.0 * to_normaliser[j] + own;
            let fourth = variance * s + 2.0 * square(moments.with_normaliser[j] - s);
            weights += square(w[j]) * (3.0 * fourth - 2.0 * third);
            total += square(w[j]) * variance;
        }
        let (mut output, mut whole) = (0.0, 0.0);
        for u in moments.pulls(row) {
            let variance = form(&u, &moments.covariance, &u);
            let fourth = variance * s + 2.0 * square(order::dot(&u, &moments.with_normaliser));
            output += 3.0 * fourth - 2.0 * form(&u, &with, &u);
            whole += variance;
        }
        Some(Self { weights: weights / total, output: output / whole })
    }

    /// The larger of both, as a magnitude.
    pub fn largest(&self) -> f64 {
        largest::magnitude([self.weights, self.output])
    }
}

/// `sum_l w_l kappa(e_j, e_k, e_l)` with the third cumulants of the relative errors, `[n][n]`.
fn third_with_normaliser(map: &dyn FeatureMap, row: &Row<'_>, w: &[f64]) -> Option<Vec<Vec<f64>>> {
    let (n, rows) = (w.len(), map.rows() as f64);
    let mut pairs = vec![vec![0.0; n]; n];
    for j in 0..n {
        for k in 0..=j {
            pairs[j][k] = map.row_moment(row.query, &[row.keys[j], row.keys[k]])?;
        }
    }
    let mut with = vec![vec![0.0; n]; n];
    for j in 0..n {
        for k in 0..=j {
            for l in 0..=k {
                let all = map.row_moment(row.query, &[row.keys[j], row.keys[k], row.keys[l]])?;
                let third = all - pairs[j][k] - pairs[j][l] - pairs[k][l] + 2.0;
                for [a, b, c] in arrangements([j, k, l]) {
                    with[a][b] += w[c] * third / (rows * rows);
                }
            }
        }
    }
    Some(with)
}

/// Every different arrangement of three indices, `j >= k >= l`.
fn arrangements([j, k, l]: [usize; 3]) -> Vec<[usize; 3]> {
    let mut all = vec![[j, k, l], [j, l, k], [k, j, l], [k, l, j], [l, j, k], [l, k, j]];
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature_map::{self, Setting, gaussian_rows, squared_sum};
    use icl_numerics::stream::Stream;
    use icl_numerics::tolerance::Tolerance;

    struct Data {
        query: Vec<f64>,
        keys: Vec<Vec<f64>>,
        values: Vec<Vec<f64>>,
    }

    impl Data {
        /// Four keys near a query, `z` about one.
        fn new() -> Self {
            let rows = |purpose: &str, n: usize, size: f64| -> Vec<Vec<f64>> {
                let rows = gaussian_rows(&Stream::new(6, purpose), n, 3);
                rows.into_iter().map(|row| row.into_iter().map(|x| size * x).collect()).collect()
            };
            let query = rows("q", 1, 0.35).concat();
            Self { query, keys: rows("k", 4, 0.35), values: rows("v", 4, 1.0) }
        }

        fn row(&self) -> Row<'_> {
            Row {
                query: &self.query,
                keys: self.keys.iter().map(Vec::as_slice).collect(),
                values: self.values.iter().map(Vec::as_slice).collect(),
            }
        }
    }

    /// Sums of squares over draws, with their standard errors.
    fn measured(map: &feature_map::Choice, data: &Data, d_r: usize, draws: u64) -> [[f64; 2]; 2] {
        let row = data.row();
        let exact = row.softmax();
        let z = squared_sum(&data.query, &data.keys[0]);
        let gap = |a: &[f64], b: &[f64]| {
            let gaps: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            order::sum_of_squares(&gaps)
        };
        let one = |draw: u64| {
            let stream = Stream::new(draw, "feature-error/test");
            let setting = Setting { stream: &stream, d_r, d: 3, mean_z: z, keys: &[] };
            let by = row.by_features(map.build(&setting).unwrap().as_ref());
            [gap(&by.weights, &exact.weights), gap(&by.output, &exact.output)]
        };
        let all: Vec<[f64; 2]> = (0..draws).map(one).collect();
        [0, 1].map(|i| {
            let column: Vec<f64> = all.iter().map(|row| row[i]).collect();
            let variance = order::variance(&column).unwrap();
            [order::mean(&column).unwrap(), (variance / draws as f64).sqrt()]
        })
    }

    /// The relative covariance at equal keys is the variance; the errors measured over draws are the predicted ones, up to
    /// five standard errors and the square of the next term.
    #[test]
    fn every_random_map_has_the_predicted_errors() {
        let data = Data::new();
        let row = data.row();
        for entry in feature_map::ALL {
            if entry.estimate != feature_map::Estimate::Unbiased {
                continue;
            }
            let choice = feature_map::Choice::from(entry);
            let stream = Stream::new(0, "any");
            let z = squared_sum(&data.query, &data.keys[0]);
            let d_r = 192;
            let setting = Setting { stream: &stream, d_r, d: 3, mean_z: z, keys: &[] };
            let map = choice.build(&setting).unwrap();
            for key in &row.keys {
                let kernel = map.kernel(row.query, key);
                let want = map.variance(row.query, key).unwrap() / (kernel * kernel);
                let got = map.relative_covariance(row.query, [key, key]).unwrap();
                let t = Tolerance::stated(1e-10, "a moment near one, minus one");
                t.assert_close(got, want, want, entry.id);
                let one = map.row_moment(row.query, &[key]).unwrap();
                Tolerance::roundoff_f64(200).assert_close(one, 1.0, 1.0, entry.id);
            }
            let (first, next) = FirstOrder::with_next(map.as_ref(), &row).unwrap();
            let both = [
                (order::sum(&first.weights), next.weights, "weights"),
                (first.output, next.output, "output"),
            ];
            assert!(next.largest() < 0.1, "{}: {next:?}", entry.id);
            for ((predicted, next, of), [mean, error]) in
                both.into_iter().zip(measured(&choice, &data, d_r, 4000))
            {
                let allowed = 5.0 * error + predicted * (next * next + 0.01);
                let gap = (mean - predicted * (1.0 + next)).abs();
                assert!(
                    gap < allowed,
                    "{} {of}: {mean:e} for {predicted:e} (1 + {next})",
                    entry.id
                );
            }
        }
    }

    /// A map without randomness has no error by variance.
    #[test]
    fn exact_features_give_exact_attention() {
        let data = Data::new();
        let row = data.row();
        let map = feature_map::Exact::new(row.keys.iter().copied());
        let (by, exact) = (row.by_features(&map), row.softmax());
        assert!(largest::difference(&by.weights, &exact.weights) < 1e-13);
        assert_eq!(FirstOrder::new(&map, &row).unwrap().output, 0.0);
        assert!(FirstOrder::with_next(&map, &row).is_none());
    }
}
