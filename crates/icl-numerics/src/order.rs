//! Sums in a fixed order.
//!
//! Floating-point addition is not associative: a sum is defined only once its order is. Here it is
//! eight interleaved partial sums (element `i` goes to partial sum `i mod 8`), joined as a binary
//! tree. The order does not depend on threads, on the CPU or on the compiler, which never
//! reassociates. Error: at most `(n/8 + 3) eps` relative to the sum of magnitudes.

const LANES: usize = 8;

/// Joins the partial sums as a binary tree.
fn join(p: [f64; LANES]) -> f64 {
    ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]))
}

fn reduce(n: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut partial = [0.0; LANES];
    let whole = n - n % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in partial.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    for i in whole..n {
        partial[i - whole] += term(i);
    }
    join(partial)
}

/// `sum_i x_i`.
pub fn sum(x: &[f64]) -> f64 {
    reduce(x.len(), |i| x[i])
}

/// `sum_i x_i y_i`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "dot: lengths differ");
    reduce(x.len(), |i| x[i] * y[i])
}

/// `sum_i x_i^2`.
pub fn sum_of_squares(x: &[f64]) -> f64 {
    reduce(x.len(), |i| x[i] * x[i])
}

/// `sum_i (x_i - y_i)^2`.
///
/// # Panics
/// If the lengths differ.
pub fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "squared distance: lengths differ");
    reduce(x.len(), |i| (x[i] - y[i]) * (x[i] - y[i]))
}

/// `sum_i x_i^2` of single-precision numbers, accumulated in double precision.
pub fn sum_of_squares_f32(x: &[f32]) -> f64 {
    reduce(x.len(), |i| f64::from(x[i]) * f64::from(x[i]))
}

/// Arithmetic mean; `None` for an empty slice.
pub fn mean(x: &[f64]) -> Option<f64> {
    (!x.is_empty()).then(|| sum(x) / x.len() as f64)
}

/// Unbiased variance; `None` for fewer than two numbers.
pub fn variance(x: &[f64]) -> Option<f64> {
    let mean = mean(x)?;
    (x.len() > 1).then(|| reduce(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / (x.len() - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_equal_the_integer_sum_when_it_is_exact() {
        for n in 0..40_u32 {
            let x: Vec<f64> = (0..n).map(f64::from).collect();
            assert_eq!(sum(&x), f64::from(n * n.saturating_sub(1) / 2));
        }
    }

    #[test]
    fn order_is_the_documented_one() {
        let x = [1e16, 1.0, -1e16, 1.0, 0.0, 0.0, 0.0, 0.0];
        // lanes 0 and 2 cancel first, then lanes 1 and 3 are added: nothing is lost
        assert_eq!(sum(&x), 2.0);
    }

    #[test]
    fn a_squared_distance_is_that_of_the_difference() {
        let (x, y) = ([1.5, -2.0, 4.0], [0.5, 1.0, 4.0]);
        assert_eq!(squared_distance(&x, &y), sum_of_squares(&[1.0, -3.0, 0.0]));
    }

    #[test]
    fn variance_of_two_points_is_half_their_squared_distance() {
        assert_eq!(variance(&[1.0, 4.0]), Some(4.5));
        assert_eq!(variance(&[1.0]), None);
        assert_eq!(mean(&[]), None);
    }
}
