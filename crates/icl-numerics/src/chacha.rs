//! The ChaCha8 block function, once for scalar words and for lanes of words.
//!
//! Source: D. J. Bernstein, "ChaCha, a variant of Salsa20" (2008), with 8 rounds, a 64-bit block
//! counter and a 64-bit nonce. Known-answer vector in the tests of
//! [`crate::stream`].

/// "expand 32-byte k", the constant of the ChaCha state.
const SIGMA: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Arithmetic on 32-bit words, or on lanes of them.
pub trait Words: Copy {
    /// One word per lane.
    type U: Copy;
    /// The same word in every lane.
    fn word(self, value: u32) -> Self::U;
    /// Wrapping addition.
    fn wrapping_add(self, a: Self::U, b: Self::U) -> Self::U;
    /// `(a ^ b)` rotated left by `k` bits.
    fn xor_rotate(self, a: Self::U, b: Self::U, k: u32) -> Self::U;
}

/// Plain `u32` words.
#[derive(Debug, Clone, Copy)]
pub struct Scalar;

impl Words for Scalar {
    type U = u32;

    fn word(self, value: u32) -> u32 {
        value
    }

    fn wrapping_add(self, a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn xor_rotate(self, a: u32, b: u32, k: u32) -> u32 {
        (a ^ b).rotate_left(k)
    }
}

#[inline(always)]
fn quarter<W: Words>(ops: W, x: &mut [W::U; 16], [a, b, c, d]: [usize; 4]) {
    x[a] = ops.wrapping_add(x[a], x[b]);
    x[d] = ops.xor_rotate(x[d], x[a], 16);
    x[c] = ops.wrapping_add(x[c], x[d]);
    x[b] = ops.xor_rotate(x[b], x[c], 12);
    x[a] = ops.wrapping_add(x[a], x[b]);
    x[d] = ops.xor_rotate(x[d], x[a], 8);
    x[c] = ops.wrapping_add(x[c], x[d]);
    x[b] = ops.xor_rotate(x[b], x[c], 7);
}

/// Sixteen words for block `block` of sample `sample` (low and high half) under `key`.
#[inline(always)]
pub fn block<W: Words>(ops: W, key: &[u32; 8], block: u32, sample: [W::U; 2]) -> [W::U; 16] {
    let mut state = [ops.word(0); 16];
    for i in 0..4 {
        state[i] = ops.word(SIGMA[i]);
    }
    for i in 0..8 {
        state[4 + i] = ops.word(key[i]);
    }
    state[12] = ops.word(block);
    state[14] = sample[0];
    state[15] = sample[1];
    let mut x = state;
    for _ in 0..4 {
        quarter(ops, &mut x, [0, 4, 8, 12]);
        quarter(ops, &mut x, [1, 5, 9, 13]);
        quarter(ops, &mut x, [2, 6, 10, 14]);
        quarter(ops, &mut x, [3, 7, 11, 15]);
        quarter(ops, &mut x, [0, 5, 10, 15]);
        quarter(ops, &mut x, [1, 6, 11, 12]);
        quarter(ops, &mut x, [2, 7, 8, 13]);
        quarter(ops, &mut x, [3, 4, 9, 14]);
    }
    for i in 0..16 {
        x[i] = ops.wrapping_add(x[i], state[i]);
    }
    x
}
