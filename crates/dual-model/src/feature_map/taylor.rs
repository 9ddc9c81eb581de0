//! Taylor features: all monomials up to an order, no randomness.

use super::FeatureMap;

/// `phi_alpha(x) = x^alpha / sqrt(alpha!)` for all multi-indices `|alpha| <= p`, so that
/// `phi(x) . phi(y) = sum_{k <= p} (x . y)^k / k!`.
///
/// `binomial(d + p, p)` features; variance zero, bias at most `e^|s| |s|^{p+1} / (p+1)!` at `s = x . y`.
#[derive(Debug, Clone)]
pub struct Taylor {
    /// Multi-indices as lists of variables, ascending, with `1 / sqrt(alpha!)`.
    monomials: Vec<(Vec<usize>, f64)>,
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
        Self { monomials }
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
    fn name(&self) -> &'static str {
        "taylor"
    }

    fn key_features(&self, x: &[f64]) -> Vec<f64> {
        let feature = |(variables, scale): &(Vec<usize>, f64)| {
            variables.iter().fold(*scale, |product, i| product * x[*i])
        };
        self.monomials.iter().map(feature).collect()
    }

    fn variance(&self, _x: &[f64], _y: &[f64]) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::order;
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
