//! Sixteen `f32` lanes with run-time dispatch.
//!
//! Every instruction set executes the same sequence of IEEE operations (`+ - * /`, `sqrt`, fused
//! multiply-add, integer arithmetic) on the same sixteen lanes, and no operation crosses lanes.
//! So the bits do not depend on the instruction set: AVX-512 holds the lanes in one register,
//! AVX2+FMA in two, and the portable fallback in an array (slow: its fused multiply-add is software
//! where the hardware has none, but it rounds once, as it must).
//!
//! A computation implements [`Kernel`]; [`Isa::run`] compiles it once per instruction set. All
//! functions on the way down are `#[inline(always)]`, otherwise they would lose the features.

use crate::chacha::Words;
use pulp::x86::{V3, V4};
use pulp::{f32x8, f32x16, i32x8, i32x16, u32x8, u32x16};
use std::array::from_fn;

/// Number of lanes.
pub const LANES: usize = 16;

/// One number per lane, in memory; aligned to a cache line, so that a load touches one line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Lane16(pub [f32; LANES]);

impl Lane16 {
    /// Zero in every lane.
    pub const ZERO: Self = Self([0.0; LANES]);

    /// Sum over the lanes as a binary tree, in a fixed order.
    pub fn sum(&self) -> f32 {
        let mut x = self.0;
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                x[lane] += x[lane + width];
            }
            width /= 2;
        }
        x[0]
    }
}

impl std::ops::Deref for Lane16 {
    type Target = [f32; LANES];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Operations on sixteen lanes. Comparisons are quiet: a NaN compares false.
#[allow(
    clippy::wrong_self_convention,
    reason = "`self` is the proof that the CPU has the instructions"
)]
pub trait Lanes: Words<U: Send> {
    /// Sixteen `f32`.
    type F: Copy + Send;

    /// Loads sixteen numbers.
    fn load(self, x: &Lane16) -> Self::F;
    /// Stores sixteen numbers.
    fn store(self, x: Self::F) -> Lane16;
    /// The same number in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// Square root.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `if a > b { x } else { y }`, lane by lane.
    fn select_gt(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
    /// Bit patterns.
    fn to_bits(self, a: Self::F) -> Self::U;
    /// Numbers with these bit patterns.
    fn from_bits(self, a: Self::U) -> Self::F;
    /// Signed integers to `f32`, rounded to nearest.
    fn from_i32(self, a: Self::U) -> Self::F;
    /// The same word in every lane.
    fn splat_u(self, x: u32) -> Self::U;
    /// `x + l` in lane `l`, wrapping.
    fn lane_index_plus(self, x: u32) -> Self::U;
    /// Stores sixteen words.
    fn store_u(self, x: Self::U) -> [u32; LANES];
    /// Wrapping sum.
    fn add_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// Bitwise and.
    fn and_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// Bitwise exclusive or.
    fn xor_u(self, a: Self::U, b: Self::U) -> Self::U;
    /// Logical shift left by `k < 32`.
    fn shl_u(self, a: Self::U, k: u32) -> Self::U;
    /// Logical shift right by `k < 32`.
    fn shr_u(self, a: Self::U, k: u32) -> Self::U;
    /// Arithmetic shift right by `k < 32`.
    fn sar_u(self, a: Self::U, k: u32) -> Self::U;

    /// The larger of two numbers; `b` where either is NaN.
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        self.select_gt(a, b, a, b)
    }

    /// The smaller of two numbers; `b` where either is NaN.
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        self.select_gt(b, a, a, b)
    }

    /// `-a` (the sign bit flipped).
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.from_bits(self.xor_u(self.to_bits(a), self.splat_u(0x8000_0000)))
    }

    /// `|a|` (the sign bit cleared).
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.from_bits(self.and_u(self.to_bits(a), self.splat_u(0x7fff_ffff)))
    }
}

/// A computation on lanes, compiled once per instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The computation; must be `#[inline(always)]`.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// An instruction set on which lanes can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain arrays: any CPU.
    Portable,
    /// Two 256-bit registers.
    Avx2,
    /// One 512-bit register.
    Avx512,
}

impl Isa {
    /// The widest instruction set of this CPU.
    pub fn detect() -> Self {
        if V4::try_new().is_some() {
            Self::Avx512
        } else if V3::try_new().is_some() {
            Self::Avx2
        } else {
            Self::Portable
        }
    }

    /// All instruction sets that this CPU can run, narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let widest = Self::detect();
        [Self::Portable, Self::Avx2, Self::Avx512].into_iter().filter(move |isa| *isa <= widest)
    }

    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Runs `kernel` on this instruction set, or on the portable one if the CPU lacks it.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match (self, V3::try_new(), V4::try_new()) {
            (Self::Avx512, _, Some(v4)) => v4.vectorize(On(v4, kernel)),
            (Self::Avx512 | Self::Avx2, Some(v3), _) => v3.vectorize(On(v3, kernel)),
            _ => kernel.run(Portable),
        }
    }
}

struct On<T, K>(T, K);

impl<T: Lanes, K: Kernel> pulp::NullaryFnOnce for On<T, K> {
    type Output = K::Output;
    #[inline(always)]
    fn call(self) -> K::Output {
        self.1.run(self.0)
    }
}

macro_rules! generator_words {
    ($lanes:ty, $words:ty) => {
        impl Words for $lanes {
            type U = $words;
            #[inline(always)]
            fn word(self, value: u32) -> Self::U {
                self.splat_u(value)
            }
            #[inline(always)]
            fn wrapping_add(self, a: Self::U, b: Self::U) -> Self::U {
                self.add_u(a, b)
            }
            #[inline(always)]
            fn xor_rotate(self, a: Self::U, b: Self::U, k: u32) -> Self::U {
                let x = self.xor_u(a, b);
                // the halves have no bit in common: the sum is their union
                self.add_u(self.shl_u(x, k), self.shr_u(x, 32 - k))
            }
        }
    };
}

generator_words!(V4, u32x16);
generator_words!(V3, [u32x8; 2]);
generator_words!(Portable, [u32; 16]);

const LANE_INDEX: [u32; LANES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

impl Lanes for V4 {
    type F = f32x16;

    #[inline(always)]
    fn load(self, x: &Lane16) -> f32x16 {
        pulp::cast(x.0)
    }
    #[inline(always)]
    fn store(self, x: f32x16) -> Lane16 {
        Lane16(pulp::cast(x))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        self.splat_f32x16(x)
    }
    #[inline(always)]
    fn add(self, a: f32x16, b: f32x16) -> f32x16 {
        self.add_f32x16(a, b)
    }
    #[inline(always)]
    fn sub(self, a: f32x16, b: f32x16) -> f32x16 {
        self.sub_f32x16(a, b)
    }
    #[inline(always)]
    fn mul(self, a: f32x16, b: f32x16) -> f32x16 {
        self.mul_f32x16(a, b)
    }
    #[inline(always)]
    fn div(self, a: f32x16, b: f32x16) -> f32x16 {
        self.div_f32x16(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        self.mul_add_f32x16(a, b, c)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x16) -> f32x16 {
        self.sqrt_f32x16(a)
    }
    #[inline(always)]
    fn select_gt(self, a: f32x16, b: f32x16, x: f32x16, y: f32x16) -> f32x16 {
        self.select_f32x16(self.cmp_gt_f32x16(a, b), x, y)
    }
    #[inline(always)]
    fn to_bits(self, a: f32x16) -> u32x16 {
        pulp::cast(a)
    }
    #[inline(always)]
    fn from_bits(self, a: u32x16) -> f32x16 {
        pulp::cast(a)
    }
    #[inline(always)]
    fn from_i32(self, a: u32x16) -> f32x16 {
        self.convert_i32x16_to_f32x16(pulp::cast(a))
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> u32x16 {
        self.splat_u32x16(x)
    }
    #[inline(always)]
    fn lane_index_plus(self, x: u32) -> u32x16 {
        self.add_u(self.splat_u(x), pulp::cast(LANE_INDEX))
    }
    #[inline(always)]
    fn store_u(self, x: u32x16) -> [u32; LANES] {
        pulp::cast(x)
    }
    #[inline(always)]
    fn add_u(self, a: u32x16, b: u32x16) -> u32x16 {
        self.wrapping_add_u32x16(a, b)
    }
    #[inline(always)]
    fn and_u(self, a: u32x16, b: u32x16) -> u32x16 {
        self.and_u32x16(a, b)
    }
    #[inline(always)]
    fn xor_u(self, a: u32x16, b: u32x16) -> u32x16 {
        self.xor_u32x16(a, b)
    }
    #[inline(always)]
    fn shl_u(self, a: u32x16, k: u32) -> u32x16 {
        self.shl_dyn_u32x16(a, self.splat_u(k))
    }
    #[inline(always)]
    fn shr_u(self, a: u32x16, k: u32) -> u32x16 {
        self.shr_dyn_u32x16(a, self.splat_u(k))
    }
    #[inline(always)]
    fn sar_u(self, a: u32x16, k: u32) -> u32x16 {
        let a: i32x16 = pulp::cast(a);
        pulp::cast(self.shr_dyn_i32x16(a, pulp::cast(self.splat_u(k))))
    }
}

impl Lanes for V3 {
    type F = [f32x8; 2];

    #[inline(always)]
    fn load(self, x: &Lane16) -> [f32x8; 2] {
        pulp::cast(x.0)
    }
    #[inline(always)]
    fn store(self, x: [f32x8; 2]) -> Lane16 {
        Lane16(pulp::cast(x))
    }
    #[inline(always)]
    fn splat(self, x: f32) -> [f32x8; 2] {
        [self.splat_f32x8(x); 2]
    }
    #[inline(always)]
    fn add(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.add_f32x8(a[0], b[0]), self.add_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn sub(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.sub_f32x8(a[0], b[0]), self.sub_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn mul(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.mul_f32x8(a[0], b[0]), self.mul_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn div(self, a: [f32x8; 2], b: [f32x8; 2]) -> [f32x8; 2] {
        [self.div_f32x8(a[0], b[0]), self.div_f32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn mul_add(self, a: [f32x8; 2], b: [f32x8; 2], c: [f32x8; 2]) -> [f32x8; 2] {
        [self.mul_add_f32x8(a[0], b[0], c[0]), self.mul_add_f32x8(a[1], b[1], c[1])]
    }
    #[inline(always)]
    fn sqrt(self, a: [f32x8; 2]) -> [f32x8; 2] {
        [self.sqrt_f32x8(a[0]), self.sqrt_f32x8(a[1])]
    }
    #[inline(always)]
    fn select_gt(self, a: [f32x8; 2], b: [f32x8; 2], x: [f32x8; 2], y: [f32x8; 2]) -> [f32x8; 2] {
        [
            self.select_f32x8(self.cmp_gt_f32x8(a[0], b[0]), x[0], y[0]),
            self.select_f32x8(self.cmp_gt_f32x8(a[1], b[1]), x[1], y[1]),
        ]
    }
    #[inline(always)]
    fn to_bits(self, a: [f32x8; 2]) -> [u32x8; 2] {
        pulp::cast(a)
    }
    #[inline(always)]
    fn from_bits(self, a: [u32x8; 2]) -> [f32x8; 2] {
        pulp::cast(a)
    }
    #[inline(always)]
    fn from_i32(self, a: [u32x8; 2]) -> [f32x8; 2] {
        let a: [i32x8; 2] = pulp::cast(a);
        [self.convert_i32x8_to_f32x8(a[0]), self.convert_i32x8_to_f32x8(a[1])]
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> [u32x8; 2] {
        [self.splat_u32x8(x); 2]
    }
    #[inline(always)]
    fn lane_index_plus(self, x: u32) -> [u32x8; 2] {
        self.add_u(self.splat_u(x), pulp::cast(LANE_INDEX))
    }
    #[inline(always)]
    fn store_u(self, x: [u32x8; 2]) -> [u32; LANES] {
        pulp::cast(x)
    }
    #[inline(always)]
    fn add_u(self, a: [u32x8; 2], b: [u32x8; 2]) -> [u32x8; 2] {
        [self.wrapping_add_u32x8(a[0], b[0]), self.wrapping_add_u32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn and_u(self, a: [u32x8; 2], b: [u32x8; 2]) -> [u32x8; 2] {
        [self.and_u32x8(a[0], b[0]), self.and_u32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn xor_u(self, a: [u32x8; 2], b: [u32x8; 2]) -> [u32x8; 2] {
        [self.xor_u32x8(a[0], b[0]), self.xor_u32x8(a[1], b[1])]
    }
    #[inline(always)]
    fn shl_u(self, a: [u32x8; 2], k: u32) -> [u32x8; 2] {
        let k = self.splat_u32x8(k);
        [self.shl_dyn_u32x8(a[0], k), self.shl_dyn_u32x8(a[1], k)]
    }
    #[inline(always)]
    fn shr_u(self, a: [u32x8; 2], k: u32) -> [u32x8; 2] {
        let k = self.splat_u32x8(k);
        [self.shr_dyn_u32x8(a[0], k), self.shr_dyn_u32x8(a[1], k)]
    }
    #[inline(always)]
    fn sar_u(self, a: [u32x8; 2], k: u32) -> [u32x8; 2] {
        let a: [i32x8; 2] = pulp::cast(a);
        let k = self.splat_u32x8(k);
        pulp::cast([self.shr_dyn_i32x8(a[0], k), self.shr_dyn_i32x8(a[1], k)])
    }
}

/// The fallback: arrays, one lane after the other.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

type Word16 = [u32; LANES];
type Float16 = [f32; LANES];

#[allow(
    clippy::cast_possible_wrap,
    reason = "words are reinterpreted as signed, as the hardware does"
)]
impl Lanes for Portable {
    type F = Float16;

    #[inline(always)]
    fn load(self, x: &Lane16) -> Float16 {
        x.0
    }
    #[inline(always)]
    fn store(self, x: Float16) -> Lane16 {
        Lane16(x)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Float16 {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, a: Float16, b: Float16) -> Float16 {
        from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Float16, b: Float16) -> Float16 {
        from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Float16, b: Float16) -> Float16 {
        from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Float16, b: Float16) -> Float16 {
        from_fn(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn mul_add(self, a: Float16, b: Float16, c: Float16) -> Float16 {
        from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Float16) -> Float16 {
        a.map(f32::sqrt)
    }
    #[inline(always)]
    fn select_gt(self, a: Float16, b: Float16, x: Float16, y: Float16) -> Float16 {
        from_fn(|i| if a[i] > b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn to_bits(self, a: Float16) -> Word16 {
        a.map(f32::to_bits)
    }
    #[inline(always)]
    fn from_bits(self, a: Word16) -> Float16 {
        a.map(f32::from_bits)
    }
    #[inline(always)]
    fn from_i32(self, a: Word16) -> Float16 {
        a.map(|x| x as i32 as f32)
    }
    #[inline(always)]
    fn splat_u(self, x: u32) -> Word16 {
        [x; LANES]
    }
    #[inline(always)]
    fn lane_index_plus(self, x: u32) -> Word16 {
        LANE_INDEX.map(|i| x.wrapping_add(i))
    }
    #[inline(always)]
    fn store_u(self, x: Word16) -> Word16 {
        x
    }
    #[inline(always)]
    fn add_u(self, a: Word16, b: Word16) -> Word16 {
        from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn and_u(self, a: Word16, b: Word16) -> Word16 {
        from_fn(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn xor_u(self, a: Word16, b: Word16) -> Word16 {
        from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn shl_u(self, a: Word16, k: u32) -> Word16 {
        a.map(|x| x << k)
    }
    #[inline(always)]
    fn shr_u(self, a: Word16, k: u32) -> Word16 {
        a.map(|x| x >> k)
    }
    #[inline(always)]
    fn sar_u(self, a: Word16, k: u32) -> Word16 {
        a.map(|x| ((x as i32) >> k) as u32)
    }
}
