//! Elementary functions on sixteen `f32` lanes, at most 1 ulp from the correctly rounded result where none other
//! is stated.
//!
//! Each is a range reduction that is exact, or exact up to one rounding, followed by a minimax
//! polynomial in fused multiply-adds (coefficients fitted in 50-digit arithmetic for the relative
//! error and rounded to `f32`). `tests/elementary.rs` checks every finite `f32` in range.

use crate::lanes::{Isa, Kernel, LANES, Lane16, Lanes};
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, LN_2 as LN_2_HIGH, LOG2_E};

/// `1.5 * 2^23`: adding and subtracting it rounds to the nearest integer; the low bits of the sum
/// are that integer in two's complement.
const ROUND: f32 = 12_582_912.0;
/// `ln 2` as the sum of two `f32`.
const LN_2: [f32; 2] = [LN_2_HIGH, -1.904_654_2e-9];
/// `pi / 2` as the sum of three `f32`.
const HALF_PI: [f32; 3] = [FRAC_PI_2, -4.371_139e-8, -1.715_124_5e-15];

/// `(e^r - 1 - r) / r^2` for `|r| <= ln(2)/2`; relative error of `e^r` 2^-34.2.
const EXP: [f32; 6] =
    [0.5, 1.666_666_6e-1, 4.166_629_5e-2, 8.333_498e-3, 1.394_470_5e-3, 1.979_030_3e-4];
/// `(2^f - 1) / f` for `|f| <= 1/2`; relative error of `2^f` 2^-28.3 (each coefficient rounded before
/// the next was fitted).
const EXP2: [f32; 6] =
    [6.931_472e-1, 2.402_264_8e-1, 5.550_359_6e-2, 9.618_499e-3, 1.339_097_2e-3, 1.532_933_2e-4];
/// `(ln(1+f) - f + f^2/2) / f^3` for `1+f` in `[sqrt(1/2), sqrt(2)]`; relative error 2^-30.3.
const LN: [f32; 9] = [
    3.333_331_3e-1,
    -2.500_001e-1,
    2.000_211_9e-1,
    -1.666_799_6e-1,
    1.421_955_1e-1,
    -1.240_559_15e-1,
    1.188_817_5e-1,
    -1.167_564_1e-1,
    6.746_601e-2,
];
/// `(sin r - r) / r^3` in `r^2` for `|r| <= pi/4`; relative error 2^-37.5.
const SIN: [f32; 4] = [-1.666_666_7e-1, 8.333_329e-3, -1.983_930_9e-4, 2.718_084e-6];
/// `(cos r - 1 + r^2/2) / r^4` in `r^2` for `|r| <= pi/4`; relative error 2^-42.9.
const COS: [f32; 4] = [4.166_666_8e-2, -1.388_888_3e-3, 2.479_945_6e-5, -2.720_54e-7];
/// `(tanh x - x) / x^3` in `x^2` for `|x| <= 1`; relative error 2^-32.9 (each coefficient rounded
/// before the next was fitted).
const TANH: [f32; 9] = [
    -3.333_333_4e-1,
    1.333_335_8e-1,
    -5.397_013_6e-2,
    2.187_436_3e-2,
    -8.856_954e-3,
    3.525_497e-3,
    -1.284_444_8e-3,
    3.582_378_8e-4,
    -5.264_236_5e-5,
];

/// `Phi(-a) e^(a^2/2) / t` in `t = 1 / (1 + 0.3 a)` for `0 <= a <= 14.2`, `Phi` being the normal distribution
/// function; relative error 2^-25.5.
const NORMAL_TAIL: [f32; 10] = [
    1.196_866_6e-1,
    1.195_723_6e-1,
    1.102_311_7e-1,
    7.840_855e-2,
    9.610_475e-2,
    -7.933_079e-2,
    1.916_777_6e-1,
    -2.281_366_9e-1,
    1.124_041_1e-1,
    -2.061_786_5e-2,
];

/// `1 / sqrt(2 pi)`.
const NORMAL_PEAK: f32 = 0.398_942_3;

/// Horner's rule with fused multiply-adds; `c[i]` multiplies `x^i`.
#[inline(always)]
fn polynomial<L: Lanes, const N: usize>(l: L, c: &[f32; N], x: L::F) -> L::F {
    let mut y = l.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        y = l.mul_add(y, x, l.splat(c[i]));
    }
    y
}

/// The coefficients after the first.
#[inline(always)]
fn tail(c: &[f32; 9]) -> [f32; 8] {
    std::array::from_fn(|i| c[i + 1])
}

/// Nearest integer to `x` as a number and as the low bits of a word.
#[inline(always)]
fn round<L: Lanes>(l: L, x: L::F) -> (L::F, L::U) {
    let shifted = l.add(x, l.splat(ROUND));
    (l.sub(shifted, l.splat(ROUND)), l.to_bits(shifted))
}

/// `2^n` for the integer in the low bits of a [`round`] result, `-126 <= n <= 127`.
#[inline(always)]
fn power_of_two<L: Lanes>(l: L, n: L::U) -> L::F {
    l.from_bits(l.shl_u(l.add_u(n, l.splat_u(127)), 23))
}

/// `e^x`; 0 below -104, infinite above 88.73, subnormal results included; NaN stays NaN.
#[inline(always)]
pub fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    // max and min return their second argument for a NaN
    let x = l.min(l.splat(89.0), l.max(l.splat(-105.0), x));
    let (n, bits) = round(l, l.mul(x, l.splat(LOG2_E)));
    let r = l.mul_add(n, l.splat(-LN_2[0]), x);
    let r = l.mul_add(n, l.splat(-LN_2[1]), r);
    let tail = l.mul_add(l.mul(r, r), polynomial(l, &EXP, r), r);
    let y = l.add(tail, l.splat(1.0));
    // two factors: one power of two would leave the exponent range at both ends
    let n = l.add_u(bits, l.splat_u(ROUND.to_bits().wrapping_neg()));
    let half = l.sar_u(n, 1);
    let rest = l.add_u(n, l.xor_u(half, l.splat_u(u32::MAX)));
    let rest = l.add_u(rest, l.splat_u(1));
    l.mul(l.mul(y, power_of_two(l, half)), power_of_two(l, rest))
}

/// `e^x` for `-87 <= x <= 88`: one scaling less than [`exp`], the same bits.
///
/// Outside the range the result is clamped to the value at its end, not to 0 or infinity. For
/// softmax scores, whose largest is 0: a weight of `e^-87` is zero beside it.
#[inline(always)]
pub fn exp_normal<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.min(l.splat(88.0), l.max(l.splat(-87.0), x));
    let (n, bits) = round(l, l.mul(x, l.splat(LOG2_E)));
    let r = l.mul_add(n, l.splat(-LN_2[0]), x);
    let r = l.mul_add(n, l.splat(-LN_2[1]), r);
    let tail = l.mul_add(l.mul(r, r), polynomial(l, &EXP, r), r);
    let y = l.add(tail, l.splat(1.0));
    // the exponent field of `y` is moved by n; the upper bits of the shifted sum fall away
    l.from_bits(l.add_u(l.to_bits(y), l.shl_u(bits, 23)))
}

/// `2^x` for `-126 <= x <= 127`, clamped to the value at the range's end outside.
///
/// The reduction `x - round(x)` is exact, so this is the cheapest of the exponentials: where exponents
/// are sums of products, the factor `log2(e)` can be multiplied into them beforehand.
#[inline(always)]
pub fn exp2_normal<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.min(l.splat(127.0), l.max(l.splat(-126.0), x));
    let (n, bits) = round(l, x);
    let f = l.sub(x, n);
    let y = l.mul_add(f, polynomial(l, &EXP2, f), l.splat(1.0));
    l.from_bits(l.add_u(l.to_bits(y), l.shl_u(bits, 23)))
}

/// Natural logarithm of a positive normal number.
#[inline(always)]
pub fn ln<L: Lanes>(l: L, x: L::F) -> L::F {
    // exponent relative to sqrt(1/2), so that the mantissa lies in [sqrt(1/2), sqrt(2))
    let bits = l.to_bits(x);
    let offset = l.add_u(bits, l.splat_u(0x3f35_04f3_u32.wrapping_neg()));
    let e = l.from_i32(l.sar_u(offset, 23));
    let m = l.add_u(l.and_u(offset, l.splat_u(0x007f_ffff)), l.splat_u(0x3f35_04f3));
    let f = l.sub(l.from_bits(m), l.splat(1.0));
    let z = l.mul(f, f);
    let tail = l.mul(l.mul(f, z), polynomial(l, &LN, f));
    let tail = l.mul_add(e, l.splat(LN_2[1]), tail);
    let tail = l.mul_add(l.splat(-0.5), z, tail);
    l.mul_add(e, l.splat(LN_2[0]), l.add(f, tail))
}

/// `a + b` and its rounding error (Knuth).
#[inline(always)]
fn two_sum<L: Lanes>(l: L, a: L::F, b: L::F) -> (L::F, L::F) {
    let sum = l.add(a, b);
    let b_part = l.sub(sum, a);
    let a_part = l.sub(sum, b_part);
    (sum, l.add(l.sub(a, a_part), l.sub(b, b_part)))
}

/// Sine and cosine of `x` radians, `|x| <= 8192`.
#[inline(always)]
pub fn sin_cos<L: Lanes>(l: L, x: L::F) -> (L::F, L::F) {
    let (k, bits) = round(l, l.mul(x, l.splat(FRAC_2_PI)));
    // the first difference is exact; `low` collects what r and the product k p_1 lose
    let exact = l.mul_add(k, l.splat(-HALF_PI[0]), x);
    let product = l.mul(k, l.splat(-HALF_PI[1]));
    let product_low = l.mul_add(k, l.splat(-HALF_PI[1]), l.neg(product));
    let (r, lost) = two_sum(l, exact, product);
    let low = l.mul_add(k, l.splat(-HALF_PI[2]), l.add(lost, product_low));
    let z = l.mul(r, r);
    let sin = l.add(l.mul_add(l.mul(r, z), polynomial(l, &SIN, z), low), r);
    // cos = (1 - z/2) + z^2 p with the rounding error of 1 - z/2 added back
    let head = l.mul_add(l.splat(-0.5), z, l.splat(1.0));
    let lost = l.mul_add(l.splat(-0.5), z, l.sub(l.splat(1.0), head));
    let lost = l.mul_add(l.neg(r), low, lost);
    let cos = l.add(head, l.mul_add(l.mul(z, z), polynomial(l, &COS, z), lost));
    // quadrant: odd ones swap the two, the upper bit of k and of k + 1 gives the signs
    let odd = l.from_i32(l.and_u(bits, l.splat_u(1)));
    let zero = l.splat(0.0);
    let sign = |q: L::U| l.shl_u(l.and_u(q, l.splat_u(2)), 30);
    let s = l.select_gt(odd, zero, cos, sin);
    let c = l.select_gt(odd, zero, sin, cos);
    let next = l.add_u(bits, l.splat_u(1));
    (l.from_bits(l.xor_u(l.to_bits(s), sign(bits))), l.from_bits(l.xor_u(l.to_bits(c), sign(next))))
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<L: Lanes>(l: L, x: L::F) -> L::F {
    let a = l.abs(x);
    let z = l.mul(a, a);
    // the leading term of the correction is added last and takes the rounding error of z along
    let z_low = l.mul_add(a, a, l.neg(z));
    let leading = l.splat(TANH[0]);
    let rest = l.mul(l.mul(z, z), polynomial(l, &tail(&TANH), z));
    let correction = l.mul_add(leading, z, l.mul_add(leading, z_low, rest));
    let small = l.mul_add(correction, a, a);
    let e = exp(l, l.add(a, a));
    let large = l.sub(l.splat(1.0), l.div(l.splat(2.0), l.add(e, l.splat(1.0))));
    let y = l.select_gt(a, l.splat(1.0), large, small);
    let sign = l.and_u(l.to_bits(x), l.splat_u(0x8000_0000));
    l.from_bits(l.xor_u(l.to_bits(y), sign))
}

/// The normal distribution function `Phi(x)` and its density for `|x| <= 16`, at most 8 ulp off; beyond, their values
/// at the end, which are 0 and 1 in `f32`.
#[inline(always)]
pub fn normal<L: Lanes>(l: L, x: L::F) -> (L::F, L::F) {
    let a = l.min(l.splat(16.0), l.abs(x));
    let z = l.mul(a, a);
    // e^(-a^2/2) with the rounding error of a^2 taken back
    let z_low = l.mul_add(a, a, l.neg(z));
    let bell = exp(l, l.mul(z, l.splat(-0.5)));
    let bell = l.mul_add(bell, l.mul(z_low, l.splat(-0.5)), bell);
    let t = l.div(l.splat(1.0), l.mul_add(l.splat(0.3), a, l.splat(1.0)));
    let tail = l.mul(l.mul(bell, t), polynomial(l, &NORMAL_TAIL, t));
    let above = l.sub(l.splat(1.0), tail);
    let cdf = l.select_gt(x, l.splat(0.0), above, tail);
    (cdf, l.mul(bell, l.splat(NORMAL_PEAK)))
}

/// `x Phi(x)`, the exact GELU: at most 8 ulp for `x >= -12`, less than 1e-30 off below.
#[inline(always)]
pub fn gelu<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.max(l.splat(-16.0), x);
    l.mul(x, normal(l, x).0)
}

/// `Phi(x) + x phi(x)`, the derivative of [`gelu`]; at most 4e-7 off.
#[inline(always)]
pub fn gelu_slope<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.min(l.splat(16.0), l.max(l.splat(-16.0), x));
    let (cdf, density) = normal(l, x);
    l.mul_add(x, density, cdf)
}

/// `sqrt(2 / pi)`, the scale of the tanh form of GELU.
pub const GELU_SCALE: f64 = 0.797_884_560_802_865_4;

/// The tanh form of GELU and its derivative: `x gate` with `gate = (1 + tanh(u)) / 2 = 1 / (1 + e^(-2u))`,
/// `u = sqrt(2/pi) (x + 0.044715 x^3)`.
#[inline(always)]
pub fn tanh_gelu<L: Lanes>(l: L, x: L::F) -> (L::F, L::F) {
    let scale = l.splat((2.0 * GELU_SCALE) as f32);
    let one = l.splat(1.0);
    let square = l.mul(x, x);
    let double = l.mul(l.mul(scale, x), l.mul_add(l.splat(0.044_715), square, one));
    let double_slope = l.mul(scale, l.mul_add(l.splat(0.134_145), square, one));
    let gate = l.div(one, l.add(one, exp_normal(l, l.neg(double))));
    // gate' = gate (1 - gate) (2u)'
    let bell = l.mul(gate, l.sub(one, gate));
    (l.mul(x, gate), l.mul_add(l.mul(x, bell), double_slope, gate))
}

/// A function of one variable, by name, for code that works on slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// [`exp`].
    Exp,
    /// [`exp2_normal`].
    Exp2,
    /// [`ln`].
    Ln,
    /// The sine of [`sin_cos`].
    Sin,
    /// The cosine of [`sin_cos`].
    Cos,
    /// [`tanh`].
    Tanh,
    /// [`gelu`].
    Gelu,
    /// [`gelu_slope`].
    GeluSlope,
    /// The value of [`tanh_gelu`].
    TanhGelu,
    /// The derivative of [`tanh_gelu`].
    TanhGeluSlope,
}

impl Function {
    #[inline(always)]
    fn on_lanes<L: Lanes>(self, l: L, x: L::F) -> L::F {
        match self {
            Self::Exp => exp(l, x),
            Self::Exp2 => exp2_normal(l, x),
            Self::Ln => ln(l, x),
            Self::Sin => sin_cos(l, x).0,
            Self::Cos => sin_cos(l, x).1,
            Self::Tanh => tanh(l, x),
            Self::Gelu => gelu(l, x),
            Self::GeluSlope => gelu_slope(l, x),
            Self::TanhGelu => tanh_gelu(l, x).0,
            Self::TanhGeluSlope => tanh_gelu(l, x).1,
        }
    }

    /// Replaces every number of `x` by the function's value.
    pub fn map(self, isa: Isa, x: &mut [f32]) {
        isa.run(Map(self, x));
    }

    /// Replaces every number of `x` by the function's value.
    pub fn map_lanes(self, isa: Isa, x: &mut [Lane16]) {
        isa.run(MapLanes(self, x));
    }
}

struct Map<'a>(Function, &'a mut [f32]);

impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (whole, rest) = self.1.as_chunks_mut::<LANES>();
        for x in whole {
            *x = l.store(self.0.on_lanes(l, l.load(&Lane16(*x)))).0;
        }
        let mut last = Lane16([1.0; LANES]);
        last.0[..rest.len()].copy_from_slice(rest);
        let last = l.store(self.0.on_lanes(l, l.load(&last)));
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

struct MapLanes<'a>(Function, &'a mut [Lane16]);

impl Kernel for MapLanes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for x in self.1 {
            *x = l.store(self.0.on_lanes(l, l.load(x)));
        }
    }
}
