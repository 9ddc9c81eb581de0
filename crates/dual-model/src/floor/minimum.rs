//! Minima without derivatives, of one variable and of two.

/// The lowest point of `f` on `[low, high]`: equally spaced points, then the golden section between the neighbours of the
/// best, to `tolerance` in `x`. What is not a number counts as infinite.
pub(super) fn of_one(
    range: [f64; 2],
    points: usize,
    tolerance: f64,
    mut f: impl FnMut(f64) -> f64,
) -> f64 {
    /// `(sqrt 5 - 1) / 2`.
    const GOLDEN: f64 = 0.618_033_988_749_894_8;
    let step = (range[1] - range[0]) / (points - 1) as f64;
    let at = |i: usize| range[0] + step * i as f64;
    let mut best = (f64::INFINITY, 0);
    for i in 0..points {
        let value = f(at(i));
        if value < best.0 {
            best = (value, i);
        }
    }
    let (mut low, mut high) = (at(best.1.saturating_sub(1)), at((best.1 + 1).min(points - 1)));
    let inner = |low: f64, high: f64| [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
    let [mut left, mut right] = inner(low, high);
    let (mut at_left, mut at_right) = (f(left), f(right));
    while high - low > tolerance {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high)[0];
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high)[1];
            at_right = f(right);
        }
    }
    if at_left <= at_right { left } else { right }
}

/// A point and its value.
type Vertex = ([f64; 2], f64);

/// A local minimum of `f` near `start` by Nelder and Mead's simplex with edges `size`, until all its values agree within
/// `tolerance`, after at most 200 values. What is not a number counts as infinite.
pub(super) fn of_two(
    start: [f64; 2],
    size: f64,
    tolerance: f64,
    mut f: impl FnMut([f64; 2]) -> f64,
) -> Vertex {
    let mut vertex = |x: [f64; 2]| {
        let value = f(x);
        (x, if value.is_nan() { f64::INFINITY } else { value })
    };
    let corners = [start, [start[0] + size, start[1]], [start[0], start[1] + size]];
    let mut simplex = corners.map(&mut vertex);
    for _ in 0..100 {
        simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
        let [best, middle, worst] = simplex;
        if worst.1 - best.1 <= tolerance {
            break;
        }
        // the point at `t` on the line from the worst through the middle of the others
        let along = |t: f64| {
            [0, 1].map(|i| worst.0[i] + t * (best.0[i].midpoint(middle.0[i]) - worst.0[i]))
        };
        let reflected = vertex(along(2.0));
        simplex[2] = if reflected.1 < best.1 {
            let expanded = vertex(along(3.0));
            if expanded.1 < reflected.1 { expanded } else { reflected }
        } else if reflected.1 < middle.1 {
            reflected
        } else {
            let contracted = vertex(along(if reflected.1 < worst.1 { 1.5 } else { 0.5 }));
            if contracted.1 < worst.1 && contracted.1 < reflected.1 {
                contracted
            } else {
                let towards = |x: [f64; 2]| [0, 1].map(|i| x[i].midpoint(best.0[i]));
                simplex[1] = vertex(towards(middle.0));
                vertex(towards(worst.0))
            }
        };
    }
    simplex.sort_by(|a, b| a.1.total_cmp(&b.1));
    simplex[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_of_two_minima_is_found_and_an_end_if_it_is_lower() {
        let two = |x: f64| (x * x - 1.0) * (x * x - 1.0) + 0.1 * x;
        // the derivative is zero at x = -1.0122..
        let found = of_one([-3.0, 3.0], 13, 1e-7, two);
        assert!((4.0 * found * (found * found - 1.0) + 0.1).abs() < 1e-5, "{found}");
        assert!(found < 0.0);
        let end = of_one([1.0, 2.0], 5, 1e-6, |x| x);
        assert!((end - 1.0).abs() < 1e-5, "{end}");
    }

    #[test]
    fn a_curved_valley_is_followed_to_its_minimum() {
        let valley = |[x, y]: [f64; 2]| (1.0 - x) * (1.0 - x) + 5.0 * (y - x * x) * (y - x * x);
        let ([x, y], value) = of_two([-1.0, 1.0], 0.5, 1e-14, valley);
        assert!(
            (x - 1.0).abs() < 1e-5 && (y - 1.0).abs() < 1e-5 && value < 1e-12,
            "{x} {y} {value}"
        );
    }

    #[test]
    fn what_is_not_a_number_is_never_the_minimum() {
        let half = |x: f64| if x < 0.0 { f64::NAN } else { (x - 0.5) * (x - 0.5) };
        assert!((of_one([-1.0, 1.0], 9, 1e-6, half) - 0.5).abs() < 1e-5);
        let ([x, _], value) = of_two([0.1, 0.0], -0.3, 1e-12, |[x, y]| half(x) + y * y);
        assert!((x - 0.5).abs() < 1e-4 && value < 1e-8, "{x} {value}");
    }
}
