//! Student's t distribution for a whole number of degrees of freedom, in closed form.
//!
//! ```text
//! A(t | nu) = P(|T| <= t),   theta = atan(t / sqrt(nu))
//! nu odd:  A = 2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + .. ))      (nu = 1: 2 theta / pi)
//! nu even: A = sin theta (1 + 1/2 cos^2 theta + 1.3/(2.4) cos^4 theta + .. )
//! ```
//!
//! Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.

use icl_numerics::math;
use std::f64::consts::PI;

/// `P(|T| <= t)` for `nu >= 1` degrees of freedom and `t >= 0`.
pub fn within(t: f64, nu: usize) -> f64 {
    let cos = (nu as f64 / (nu as f64 + t * t)).sqrt();
    let sin = t / (nu as f64 + t * t).sqrt();
    let odd = nu % 2 == 1;
    let (mut term, mut sum) = if odd { (cos, cos) } else { (1.0, 1.0) };
    if nu < 2 {
        sum = 0.0;
    }
    for power in (usize::from(odd) + 2..nu.saturating_sub(1)).step_by(2) {
        term *= cos * cos * (power - 1) as f64 / power as f64;
        sum += term;
    }
    if odd { 2.0 / PI * (math::atan(t / (nu as f64).sqrt()) + sin * sum) } else { sin * sum }
}

/// The `t` with `P(|T| <= t) = level`, by bisection to the last bit.
pub fn quantile(level: f64, nu: usize) -> f64 {
    let mut high = 1.0;
    while within(high, nu) < level && high < f64::MAX / 2.0 {
        high *= 2.0;
    }
    let mut low = 0.0;
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if within(middle, nu) < level { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icl_numerics::order;

    /// Simpson's rule over the density `c (1 + x^2/nu)^(-(nu+1)/2)`.
    fn by_quadrature(t: f64, nu: usize) -> f64 {
        let density = |x: f64| math::powf(1.0 + x * x / nu as f64, -f64::midpoint(nu as f64, 1.0));
        let simpson = |to: f64, n: usize| {
            let h = to / n as f64;
            let part = |i: usize| {
                let weight = if i == 0 || i == n {
                    1.0
                } else if i % 2 == 1 {
                    4.0
                } else {
                    2.0
                };
                weight * density(i as f64 * h)
            };
            order::sum(&(0..=n).map(part).collect::<Vec<_>>()) * h / 3.0
        };
        // c = Gamma((nu+1)/2) / (sqrt(nu pi) Gamma(nu/2)), by the recursion of the ratio from nu = 1 or 2
        let mut c = if nu % 2 == 1 { 1.0 / PI } else { 0.125_f64.sqrt() };
        for k in (if nu % 2 == 1 { 1 } else { 2 }..nu).step_by(2) {
            c *= (k as f64 + 1.0) / k as f64 * (k as f64 / (k as f64 + 2.0)).sqrt();
        }
        2.0 * c * simpson(t, 20_000)
    }

    #[test]
    fn the_closed_form_is_the_integral_of_the_density() {
        for nu in [1, 2, 3, 4, 5, 9, 10, 31] {
            for t in [0.0, 0.3, 1.0, 2.262, 6.0] {
                let (closed, integral) = (within(t, nu), by_quadrature(t, nu));
                assert!((closed - integral).abs() < 1e-10, "{nu} {t}: {closed} {integral}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // two-sided 95 %, to the digits that tables print
        for (nu, expected) in [(1, 12.706), (2, 4.303), (5, 2.571), (9, 2.262), (30, 2.042)] {
            assert!((quantile(0.95, nu) - expected).abs() < 5e-4, "{nu}");
        }
        assert!((quantile(0.95, 100_000) - 1.960).abs() < 1e-3);
        assert!((within(quantile(0.999, 11), 11) - 0.999).abs() < 1e-14);
    }
}
