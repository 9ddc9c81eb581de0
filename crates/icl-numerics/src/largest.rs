//! The largest of several numbers, without losing the ones that are not finite.
//!
//! `f64::max` drops NaN, so a fold with it calls an output that is NaN everywhere a perfect match. Here
//! every result is NaN as soon as one number is NaN or infinite, or if there is none at all, and NaN passes
//! no comparison.

/// The largest number; NaN if there is none or one is not finite.
pub fn value(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers = numbers.into_iter();
    let Some(first) = numbers.next() else {
        return f64::NAN;
    };
    let larger = |largest: f64, x: f64| if x > largest { x } else { largest };
    let (mut largest, mut finite) = (first, first.is_finite());
    for x in numbers {
        finite &= x.is_finite();
        largest = larger(largest, x);
    }
    if finite { largest } else { f64::NAN }
}

/// The smallest number; NaN if there is none or one is not finite.
pub fn least(numbers: impl IntoIterator<Item = f64>) -> f64 {
    -value(numbers.into_iter().map(|x| -x))
}

/// `max_i |x_i|`; NaN if there is none or one is not finite.
pub fn magnitude(numbers: impl IntoIterator<Item = f64>) -> f64 {
    value(numbers.into_iter().map(f64::abs))
}

/// `max_i |got_i - want_i|`; NaN if any number on either side is not finite.
///
/// # Panics
/// If the lengths differ.
pub fn difference(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len(), "largest difference: lengths differ");
    // inf - inf is NaN and inf - x is inf: both sides are seen through the difference
    magnitude(got.iter().zip(want).map(|(got, want)| got - want))
}

/// `x`, or `low` if `x` is below it; NaN stays NaN.
pub fn at_least(x: f64, low: f64) -> f64 {
    if x < low { low } else { x }
}

/// `x`, or `high` if `x` is above it; NaN stays NaN.
pub fn at_most(x: f64, high: f64) -> f64 {
    if x > high { high } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_wherever_it_stands() {
        assert!(value([]).is_nan() && least([]).is_nan(), "a check over nothing must not pass");
        assert_eq!(least([-3.0, -2.0, -5.0]), -5.0);
        assert_eq!(value([-3.0, -2.0, -5.0]), -2.0);
        assert_eq!(magnitude([1.0, -4.0, 3.0]), 4.0);
        assert_eq!(difference(&[1.0, 2.0], &[1.5, 1.0]), 1.0);
    }

    #[test]
    fn one_number_that_is_not_finite_makes_the_result_nan() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for place in 0..3 {
                let mut x = [1.0, 2.0, 3.0];
                x[place] = bad;
                assert!(value(x).is_nan() && magnitude(x).is_nan());
                assert!(difference(&x, &[0.0; 3]).is_nan() && difference(&[0.0; 3], &x).is_nan());
                assert!(difference(&x, &x).is_nan(), "equal and not finite");
            }
        }
        assert!(at_least(f64::NAN, 0.0).is_nan() && at_most(f64::NAN, 0.0).is_nan());
    }
}
