//! Straight lines through points.

use icl_numerics::{math, order};

/// Least-squares slope of `y` against `x`; zero for fewer than two points.
pub(crate) fn slope(x: &[f64], y: &[f64]) -> f64 {
    let (Some(mean_x), Some(mean_y)) = (order::mean(x), order::mean(y)) else { return 0.0 };
    let dx: Vec<f64> = x.iter().map(|x| x - mean_x).collect();
    let dy: Vec<f64> = y.iter().map(|y| y - mean_y).collect();
    let square = order::sum_of_squares(&dx);
    if square == 0.0 { 0.0 } else { order::dot(&dx, &dy) / square }
}

/// Slope of `log y` against `log x`.
pub(crate) fn log_slope(x: &[f64], y: &[f64]) -> f64 {
    let logs = |values: &[f64]| values.iter().map(|v| math::ln(*v)).collect::<Vec<f64>>();
    slope(&logs(x), &logs(y))
}

#[cfg(test)]
mod tests {
    #[test]
    fn slopes_of_a_line_and_of_a_power_law() {
        assert!((super::slope(&[0.0, 1.0, 3.0], &[1.0, 3.0, 7.0]) - 2.0).abs() < 1e-15);
        assert!((super::log_slope(&[1.0, 2.0, 8.0], &[5.0, 2.5, 0.625]) + 1.0).abs() < 1e-14);
    }
}
