//! Central differences, the judge of every hand-written or automatic gradient.

use crate::largest;

/// Step that balances truncation `h^2` against rounding `eps / h` in `f64`: the cube root of epsilon.
pub const STEP: f64 = 6.055_454_452_393_343e-6;

/// Gradient of `f` at `x` by central differences,
///
/// ```text
/// df/dx_i ~ (f(x + h e_i) - f(x - h e_i)) / 2h,   h = STEP max(1, |x_i|)
/// ```
///
/// Error: about `eps^(2/3)` (4e-11) relative to the third derivative and the size of `f`.
pub fn gradient(mut f: impl FnMut(&[f64]) -> f64, x: &[f64]) -> Vec<f64> {
    let mut point = x.to_vec();
    (0..x.len())
        .map(|i| {
            let h = STEP * largest::at_least(x[i].abs(), 1.0);
            point[i] = x[i] + h;
            let above = f(&point);
            point[i] = x[i] - h;
            let below = f(&point);
            let width = (x[i] + h) - (x[i] - h);
            point[i] = x[i];
            (above - below) / width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_of_a_cubic_is_three_x_squared() {
        // f = x^3 + 2 y, df = (3 x^2, 2)
        let g = gradient(|p| p[0] * p[0] * p[0] + 2.0 * p[1], &[1.5, -7.0]);
        assert!((g[0] - 6.75).abs() < 1e-9 && (g[1] - 2.0).abs() < 1e-9, "{g:?}");
    }
}
