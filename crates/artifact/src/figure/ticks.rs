//! Ticks, and numbers as labels write them.

use icl_numerics::math;

/// Multiples of 1, 2, 2.5 or 5 times a power of ten: the step with nearest to `count` ticks, and at least three.
pub(super) fn linear_ticks([low, high]: [f64; 2], count: usize) -> Vec<(f64, String)> {
    let power = math::log10((high - low) / count as f64).floor() as i32;
    let ticks = |step: f64| {
        let (first, last) =
            ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
        (first..=last).map(|i| i as f64 * step).collect::<Vec<f64>>()
    };
    // the digits after the point that a multiple of a step has
    let steps = [power - 1, power, power + 1].into_iter().flat_map(|p| {
        [(1.0, 0), (2.0, 0), (2.5, 1), (5.0, 0)]
            .map(|(m, digits)| (m * math::powi(10.0, p), (digits - p).max(0) as usize))
    });
    let distance = |step: f64| {
        let found = ticks(step).len();
        (found < 3, found.abs_diff(count))
    };
    let best = steps.min_by_key(|(step, _)| distance(*step));
    let (step, decimals) = best.unwrap_or((high - low, 0));
    ticks(step).into_iter().map(|x| (x, signed(&format!("{x:.decimals$}")))).collect()
}

/// Powers of ten, thinned out; where there are less than three, also 2 and 5 times them, and within one also others.
pub(super) fn log_ticks([low, high]: [f64; 2], count: usize) -> Vec<(f64, String)> {
    let (first, last) = ((low - 1e-9).ceil() as i32, (high + 1e-9).floor() as i32);
    if last - first >= 2 {
        let stride = ((last - first) as usize).div_ceil(count).max(1);
        let powers = (first..=last).filter(|p| p.rem_euclid(stride as i32) == 0);
        return powers.map(|p| (math::powi(10.0, p), power_of_ten(p))).collect();
    }
    let inside = |multiples: &[f64]| -> Vec<f64> {
        let decades = low.floor() as i32..=high.ceil() as i32;
        let all = decades.flat_map(|p| multiples.iter().map(move |m| m * math::powi(10.0, p)));
        all.filter(|x| (low - 1e-9..=high + 1e-9).contains(&math::log10(*x))).collect()
    };
    let sets: [&[f64]; 4] = [
        &[1.0, 3.0],
        &[1.0, 2.0, 5.0],
        &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    ];
    let few = sets.into_iter().map(inside).find(|ticks| ticks.len() >= 3);
    let values = few.unwrap_or_else(|| {
        // a part of a decade: as on a linear axis
        let ends = [low, high].map(|end| math::powf(10.0, end));
        linear_ticks(ends, 3).into_iter().map(|(x, _)| x).collect()
    });
    let named: Vec<(f64, String)> = values.into_iter().map(|x| (x, plain_number(x))).collect();
    if last > first && named.iter().any(|(_, label)| label.chars().count() > 5) {
        return (first..=last).map(|p| (math::powi(10.0, p), power_of_ten(p))).collect();
    }
    named
}

/// A number's text with a true minus sign.
pub(super) fn signed(text: &str) -> String {
    text.replace('-', "−")
}

/// A whole number in superscript digits.
fn superscript(p: i32) -> String {
    let digit = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or('?'),
    };
    p.to_string().chars().map(digit).collect()
}

/// `10` with a superscript exponent; 1 and 10 as they are.
fn power_of_ten(p: i32) -> String {
    match p {
        0 => "1".into(),
        1 => "10".into(),
        p => format!("10{}", superscript(p)),
    }
}

/// A number with at most three significant digits: `0.125`, `−3.3 × 10⁻¹⁶`.
pub fn plain_number(x: f64) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let power = math::log10(x.abs()).floor() as i32;
    if !(-3..5).contains(&power) {
        // the exponent that the rounded mantissa has
        let text = format!("{x:.1e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent = superscript(exponent.parse().unwrap_or(power));
        return signed(&format!("{mantissa} × 10")) + &exponent;
    }
    let decimals = (2 - power).max(0) as usize;
    let text = signed(&format!("{x:.decimals$}"));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_true_minus_and_a_power_of_ten() {
        assert_eq!(plain_number(3.33e-16), "3.3 × 10⁻¹⁶");
        assert_eq!(plain_number(-0.25), "−0.25");
        assert_eq!(plain_number(9.99e-5), "1.0 × 10⁻⁴");
        assert_eq!(plain_number(123.0), "123");
    }
}
