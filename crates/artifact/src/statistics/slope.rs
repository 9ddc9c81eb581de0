//! Straight lines through points.

use icl_numerics::{math, order};

/// Least-squares slope of `y` against `x`; zero for fewer than two points.
pub fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (Some(mean_x), Some(mean_y)) = (order::mean(x), order::mean(y)) else { return 0.0 };
    let dx: Vec<f64> = x.iter().map(|x| x - mean_x).collect();
    let dy: Vec<f64> = y.iter().map(|y| y - mean_y).collect();
    let square = order::sum_of_squares(&dx);
    if square == 0.0 { 0.0 } else { order::dot(&dx, &dy) / square }
}

/// Slope of `log y` against `log x`.
pub fn log_slope(x: &[f64], y: &[f64]) -> f64 {
    let logs = |values: &[f64]| values.iter().map(|v| math::ln(*v)).collect::<Vec<f64>>();
    slope(&logs(x), &logs(y))
}

/// Standard error of [`log_slope`] for independent `y` with these standard errors.
pub fn log_slope_error(x: &[f64], y: &[f64], errors: &[f64]) -> f64 {
    let x: Vec<f64> = x.iter().map(|x| math::ln(*x)).collect();
    let mean = order::mean(&x).unwrap_or(0.0);
    let centred: Vec<f64> = x.iter().map(|x| x - mean).collect();
    let relative: Vec<f64> = y.iter().zip(errors).map(|(y, e)| e / y).collect();
    let terms: Vec<f64> = centred.iter().zip(&relative).map(|(c, r)| c * r).collect();
    order::sum_of_squares(&terms).sqrt() / order::sum_of_squares(&centred)
}

#[cfg(test)]
mod tests {
    #[test]
    fn slopes_of_a_line_and_of_a_power_law() {
        assert!((super::slope(&[0.0, 1.0, 3.0], &[1.0, 3.0, 7.0]) - 2.0).abs() < 1e-15);
        assert!((super::log_slope(&[1.0, 2.0, 8.0], &[5.0, 2.5, 0.625]) + 1.0).abs() < 1e-14);
        // two points: the slope is a difference of logarithms over ln 2
        let error = super::log_slope_error(&[1.0, 2.0], &[4.0, 2.0], &[0.4, 0.2]);
        assert!((error - 0.1 * 2.0_f64.sqrt() / std::f64::consts::LN_2).abs() < 1e-14);
    }
}
