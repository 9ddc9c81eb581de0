//! Random words of sixteen prompts, one prompt a lane.

use super::MapEntries;
use icl_numerics::elementary;
use icl_numerics::lanes::Lanes;
use icl_numerics::stream::Stream;

/// The words of a group, block by block.
pub(super) struct Words<'a, L: Lanes> {
    l: L,
    stream: &'a Stream,
    first: u64,
    block: u32,
    buffer: [L::U; 16],
    used: usize,
}

impl<'a, L: Lanes> Words<'a, L> {
    /// From the first word on of the samples `first .. first + 16`.
    #[inline(always)]
    pub(super) fn new(l: L, stream: &'a Stream, first: u64) -> Self {
        Self { l, stream, first, block: 0, buffer: [l.splat_u(0); 16], used: 16 }
    }

    #[inline(always)]
    fn next(&mut self) -> L::U {
        if self.used == 16 {
            self.buffer = self.stream.block_on_lanes(self.l, self.first, self.block);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// Uniform in `[-1, 1)`, multiples of `2^-23`.
    #[inline(always)]
    pub(super) fn symmetric_uniform(&mut self) -> L::F {
        let l = self.l;
        let word = self.next();
        let high = l.from_i32(l.shr_u(word, 8));
        l.mul_add(high, l.splat(f32::EPSILON), l.splat(-1.0))
    }

    /// Two entries of `W` from two words.
    #[inline(always)]
    pub(super) fn map_entries(&mut self, map: MapEntries) -> [L::F; 2] {
        let l = self.l;
        let (zero, one, two) = (l.splat(0.0), l.splat(1.0), l.splat(2.0));
        let sign = |u: L::F| l.select_gt(zero, u, l.splat(-1.0), one);
        match map {
            MapEntries::Normal => self.normal_pair(),
            MapEntries::Uniform => {
                let root = l.splat(3.0_f32.sqrt());
                [(); 2].map(|()| l.mul(root, self.symmetric_uniform()))
            }
            MapEntries::Signs => [(); 2].map(|()| sign(self.symmetric_uniform())),
            // an outermost quarter of [-1, 1) at either end is one eighth of it
            MapEntries::Sparse => [(); 2].map(|()| {
                let u = self.symmetric_uniform();
                let size = l.mul(u, sign(u));
                l.select_gt(size, l.splat(0.75), l.mul(two, sign(u)), zero)
            }),
        }
    }

    /// Two standard normals from two words: radius from the upper 24 bits plus one half.
    #[inline(always)]
    pub(super) fn normal_pair(&mut self) -> [L::F; 2] {
        let l = self.l;
        let radius_word = self.next();
        let angle_word = self.next();
        let cell = l.from_i32(l.shr_u(radius_word, 8));
        let u = l.mul_add(cell, l.splat(f32::EPSILON / 2.0), l.splat(f32::EPSILON / 4.0));
        let radius = l.sqrt(l.mul(l.splat(-2.0), elementary::ln(l, u)));
        let turn = l.from_i32(l.shr_u(angle_word, 8));
        let angle = l.mul(turn, l.splat(std::f32::consts::PI * f32::EPSILON));
        let (sin, cos) = elementary::sin_cos(l, angle);
        [l.mul(radius, cos), l.mul(radius, sin)]
    }
}
