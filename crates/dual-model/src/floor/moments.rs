//! First and second moments of what blocks say, and the loss at the best output scales with its standard error.

use super::prompts::CONTROLS;
use super::smoother::{HEADS, STATISTICS, Sample};
use icl_numerics::largest;

/// Length of a sample.
const LENGTH: usize = CONTROLS + STATISTICS;

/// A control whose variance, after regression on those before it, is below this part of its own is left out.
const COLLINEAR: f64 = 1e-9;

/// How the output scales of two heads are tied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scales {
    /// Free.
    Free,
    /// `c_2 = -c_1`.
    Opposite,
}

/// Sums over blocks of samples and of their products.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    blocks: f64,
    sums: [f64; LENGTH],
    products: [[f64; LENGTH]; LENGTH],
}

/// The loss at the best scales.
#[derive(Debug, Clone)]
pub(super) struct Estimate {
    /// `E |sum_h c_h s_h - x_q|^2 / E |x_q|^2`.
    pub(super) nmse: f64,
    /// Of `nmse`.
    pub(super) standard_error: f64,
    /// `c_h`.
    pub(super) c: [f64; HEADS],
    /// Mean softmax mass of the query.
    pub(super) query_mass: [f64; HEADS],
}

impl Moments {
    /// Of no block.
    pub(super) const NONE: Self =
        Self { blocks: 0.0, sums: [0.0; LENGTH], products: [[0.0; LENGTH]; LENGTH] };

    /// Adds a block's sample.
    pub(super) fn add(&mut self, sample: &Sample) {
        self.blocks += 1.0;
        for (i, x) in sample.iter().enumerate() {
            self.sums[i] += x;
            for (product, y) in self.products[i][..=i].iter_mut().zip(sample) {
                *product += x * y;
            }
        }
    }

    /// Adds the sums of other blocks.
    pub(super) fn join(&mut self, other: &Self) {
        self.blocks += other.blocks;
        for i in 0..LENGTH {
            self.sums[i] += other.sums[i];
            for j in 0..=i {
                self.products[i][j] += other.products[i][j];
            }
        }
    }

    /// Means of the statistics, and their covariances between blocks, after regression on the controls.
    fn regressed(&self) -> ([f64; STATISTICS], [[f64; STATISTICS]; STATISTICS]) {
        let mut mean = self.sums.map(|sum| sum / self.blocks);
        let free = self.blocks - 1.0 - CONTROLS as f64;
        let mut covariance = [[0.0; LENGTH]; LENGTH];
        for i in 0..LENGTH {
            for j in 0..=i {
                let product = self.products[i][j] / self.blocks - mean[i] * mean[j];
                covariance[i][j] = product * self.blocks / free;
                covariance[j][i] = covariance[i][j];
            }
        }
        let own: [f64; CONTROLS] = std::array::from_fn(|k| covariance[k][k]);
        for k in 0..CONTROLS {
            let pivot = covariance[k];
            // NaN is left out as well, and shows in the means
            let kept = pivot[k] > COLLINEAR * own[k];
            for i in if kept { k + 1..LENGTH } else { 0..0 } {
                let slope = pivot[i] / pivot[k];
                mean[i] -= slope * mean[k];
                for j in k + 1..LENGTH {
                    covariance[i][j] -= slope * pivot[j];
                }
            }
        }
        let tail = |i: usize| std::array::from_fn(|j| covariance[CONTROLS + i][CONTROLS + j]);
        (std::array::from_fn(|i| mean[CONTROLS + i]), std::array::from_fn(tail))
    }

    /// The loss of `heads` heads on inputs with `E |x_q|^2 = target`, scales chosen best.
    ///
    /// With `a_h = E s_h . x_q` and `B = E s s^T` the best scales solve `B c = a`, and the loss is `1 - a . c / target`.
    /// It is flat in `c` there, so its error is that of the loss at fixed `c`, a linear function of the means.
    pub(super) fn estimate(&self, heads: usize, scales: Scales, target: f64) -> Estimate {
        let (mean, covariance) = self.regressed();
        let [_, _, a1, a2, b11, b12, b22] = mean;
        let c = match (heads, scales) {
            (1, _) => [a1 / b11, 0.0],
            (_, Scales::Opposite) => {
                let c = (a1 - a2) / (b11 - 2.0 * b12 + b22);
                [c, -c]
            }
            (_, Scales::Free) => {
                let determinant = b11 * b22 - b12 * b12;
                [(a1 * b22 - a2 * b12) / determinant, (a2 * b11 - a1 * b12) / determinant]
            }
        };
        let slopes =
            [0.0, 0.0, -2.0 * c[0], -2.0 * c[1], c[0] * c[0], 2.0 * c[0] * c[1], c[1] * c[1]];
        let slopes = slopes.map(|slope| slope / target);
        let mut variance = 0.0;
        for (slope, row) in slopes.iter().zip(&covariance) {
            for (other, entry) in slopes.iter().zip(row) {
                variance += slope * other * entry;
            }
        }
        Estimate {
            nmse: 1.0 - (a1 * c[0] + a2 * c[1]) / target,
            standard_error: largest::at_least(variance / self.blocks, 0.0).sqrt(),
            c,
            query_mass: [mean[0], mean[1]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::stream::Stream;

    /// A statistic that is a control plus a constant is known without error.
    #[test]
    fn what_controls_explain_has_no_error() {
        let mut moments = Moments::NONE;
        let stream = Stream::new(1, "moments");
        for i in 0..100 {
            let mut draws = stream.sample(i);
            let mut sample = [0.0; LENGTH];
            sample[..CONTROLS].fill_with(|| draws.normal());
            // equal controls: the second is left out
            sample[1] = sample[0];
            sample[CONTROLS + HEADS] = 0.5 + sample[0] - 2.0 * sample[3];
            sample[CONTROLS + 2 * HEADS] = 1.0 + sample[1];
            moments.add(&sample);
        }
        let found = moments.estimate(1, Scales::Free, 1.0);
        assert!((found.nmse - 0.75).abs() < 1e-12 && found.standard_error < 1e-6, "{found:?}");
        assert!((found.c[0] - 0.5).abs() < 1e-12, "{found:?}");
    }
}
