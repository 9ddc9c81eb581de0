//! Taylor features: all monomials up to an order, no randomness.

use super::{Entry, Estimate, FeatureMap};
use icl_numerics::order;

/// Highest order of a map.
const HIGHEST: usize = 20;

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "taylor",
    title: "Monomials up to the order that fits",
    equation: "x^alpha / sqrt(alpha!), |alpha| <= p",
    variance: "0; off by at most e^|s| |s|^{p+1} / (p+1)!, s = x . y",
    options: "order = p, as d_r allows; without it the highest that fits, at most 20",
    source: "the exponential series",
    examples: &["", "order=3"],
    estimate: Estimate::OtherKernel,
    fitted: false,
    build: |options, setting| {
        let fits = |p: &usize| Taylor::count(setting.d, *p).is_some_and(|n| n <= setting.d_r);
        let highest = (0..=HIGHEST).take_while(fits).last().unwrap_or(0);
        let order = options.number("order", highest, [0, highest])?;
        Ok(Box::new(Taylor::new(setting.d, order)))
    },
};

/// `phi_alpha(x) = x^alpha / sqrt(alpha!)` for all multi-indices `|alpha| <= p`, so that
/// `phi(x) . phi(y) = sum_{k <= p} (x . y)^k / k!`.
///
/// `binomial(d + p, p)` features; variance zero, bias at most `e^|s| |s|^{p+1} / (p+1)!` at `s = x . y`.
#[derive(Debug, Clone)]
pub struct Taylor {
    /// Multi-indices as lists of variables, ascending, with `1 / sqrt(alpha!)`.
    monomials: Vec<(Vec<usize>, f64)>,
    order: usize,
}

impl Taylor {
    /// All monomials of `d` variables up to order `p`.
    pub fn new(d: usize, p: usize) -> Self {
        let mut monomials: Vec<(Vec<usize>, f64)> = vec![(Vec::new(), 1.0)];
        let mut previous = vec![(Vec::<usize>::new(), 1.0)];
        for _ in 0..p {
            let mut next = Vec::new();
            for (variables, scale) in &previous {
                for i in variables.last().copied().unwrap_or(0)..d {
                    let power = variables.iter().filter(|v| **v == i).count() + 1;
                    let mut variables = variables.clone();
                    variables.push(i);
                    // alpha! grows by the new power of variable i
                    next.push((variables, scale / (power as f64).sqrt()));
                }
            }
            monomials.extend(next.iter().cloned());
            previous = next;
        }
        Self { monomials, order: p }
    }

    /// `binomial(d + p, p)`, the number of features, without listing them; `None` if it overflows.
    pub fn count(d: usize, p: usize) -> Option<usize> {
        // binomial(d + i, i) = binomial(d + i - 1, i - 1) (d + i) / i, every one of them whole
        (1..=p).try_fold(1_usize, |count, i| Some(count.checked_mul(d.checked_add(i)?)? / i))
    }

    /// Number of features.
    pub fn len(&self) -> usize {
        self.monomials.len()
    }

    /// Never: the constant is always there.
    pub fn is_empty(&self) -> bool {
        self.monomials.is_empty()
    }
}

impl FeatureMap for Taylor {
    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        let feature = |(variables, scale): &(Vec<usize>, f64)| {
            variables.iter().fold(*scale, |product, i| product * x[*i])
        };
        self.monomials.iter().map(feature).collect()
    }

    /// The series of `exp(x . y)` up to the order.
    fn kernel(&self, x: &[f64], y: &[f64]) -> f64 {
        let s = order::dot(x, y);
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..=self.order {
            term *= s / k as f64;
            sum += term;
        }
        sum
    }

    fn variance(&self, _x: &[f64], _y: &[f64]) -> Option<f64> {
        Some(0.0)
    }

    fn relative_covariance(&self, _x: &[f64], _keys: [&[f64]; 2]) -> Option<f64> {
        Some(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::tolerance::Tolerance;

    #[test]
    fn features_multiply_to_the_truncated_series() {
        let (x, y) = ([0.3, -0.7, 0.2], [0.5, 0.1, -0.4]);
        let s = order::dot(&x, &y);
        let map = Taylor::new(3, 4);
        assert_eq!(map.len(), 35);
        assert_eq!(Taylor::count(3, 4), Some(35));
        assert_eq!(Taylor::count(usize::MAX, 1), None);
        let series = 1.0 + s + s * s / 2.0 + s * s * s / 6.0 + s * s * s * s / 24.0;
        let got = order::dot(&map.key_features(&x), &map.key_features(&y));
        Tolerance::roundoff_f64(20).assert_close(got, series, 1.0, "series of order four");
    }
}
