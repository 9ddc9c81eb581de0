//! Named random streams.
//!
//! A stream is a pure function of `(seed, purpose)`; sample `i` of it is a pure function of `i`:
//! nothing is consumed, so order of evaluation, threads and lanes cannot change a number. The
//! generator is ChaCha8: key = SHA-256 of seed and purpose, nonce = sample index, counter = block
//! of sixteen words inside the sample. Every distribution takes a fixed number of words.

use crate::chacha::{self, Scalar};
use crate::lanes::Lanes;
use crate::math;
use sha2::{Digest, Sha256};

/// Name and version of the generator, for manifests.
pub const ALGORITHM: &str = "chacha8/sha256-named/1";

/// A random stream with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 8],
}

impl Stream {
    /// The stream of `seed` for `purpose`, for example `"tasks/linear/train"`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"icl-stream/1\0");
        hash.update(seed.to_le_bytes());
        hash.update(purpose.as_bytes());
        let digest = hash.finalize();
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(digest.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self { key }
    }

    /// A stream with a given ChaCha key, for known-answer tests.
    pub fn from_key(key: [u32; 8]) -> Self {
        Self { key }
    }

    /// The ChaCha key, for a generator on another device.
    pub fn key(&self) -> [u32; 8] {
        self.key
    }

    /// The draws of sample `index`, from its first word.
    pub fn sample(&self, index: u64) -> Draws<'_> {
        Draws { stream: self, index, words: [0; 16], block: 0, used: 16 }
    }

    /// Block `block` of sixteen samples at once, one per lane: `samples` is the index of lane 0.
    ///
    /// Lane `l` holds exactly the words that `sample(samples + l)` yields. `samples` must be a
    /// multiple of 16, so that no lane carries into the high half.
    #[inline(always)]
    pub fn block_on_lanes<L: Lanes>(&self, lanes: L, samples: u64, block: u32) -> [L::U; 16] {
        let low = lanes.lane_index_plus(samples as u32);
        let high = lanes.splat_u((samples >> 32) as u32);
        chacha::block(lanes, &self.key, block, [low, high])
    }
}

/// The draws of one sample, in order.
#[derive(Debug, Clone)]
pub struct Draws<'a> {
    stream: &'a Stream,
    index: u64,
    words: [u32; 16],
    block: u32,
    used: usize,
}

impl Draws<'_> {
    /// The next word (one word).
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 16 {
            let sample = [self.index as u32, (self.index >> 32) as u32];
            self.words = chacha::block(Scalar, &self.stream.key, self.block, sample);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Sixty-four bits (two words, low half first).
    pub fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32()) << 32
    }

    /// Uniform in `[0, 1)` with 53 bits (two words).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * f64::EPSILON / 2.0
    }

    /// Uniform in `(0, 1)`: the middle of one of `2^52` cells (two words).
    pub fn uniform_open(&mut self) -> f64 {
        ((self.next_u64() >> 12) as f64 + 0.5) * f64::EPSILON
    }

    /// Two independent standard normals by Box-Muller (four words, no rejection).
    pub fn normal_pair(&mut self) -> [f64; 2] {
        let radius = (-2.0 * math::ln(self.uniform_open())).sqrt();
        let angle = 2.0 * std::f64::consts::PI * self.uniform();
        [radius * math::cos(angle), radius * math::sin(angle)]
    }

    /// A standard normal (four words; the second of the pair is dropped).
    pub fn normal(&mut self) -> f64 {
        self.normal_pair()[0]
    }

    /// Uniform in `0..n` by multiplication (two words). Bias at most `n / 2^64`.
    ///
    /// # Panics
    /// If `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below: n must be positive");
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A uniform permutation of `0..n` by Fisher-Yates (`2 (n - 1)` words).
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = self.below(i as u64 + 1) as usize;
            order.swap(i, j);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Isa, Kernel};
    use std::fmt::Write as _;

    /// ChaCha8, 256-bit zero key, zero nonce: draft-strombergson-chacha-test-vectors-01, TC1.
    #[test]
    fn known_answer_of_the_zero_key() {
        let stream = Stream::from_key([0; 8]);
        let mut draws = stream.sample(0);
        let expected = "3e00ef2f895f40d67f5bb8e81f09a5a12c840ec3ce9a7f3b181be188ef711a1e\
                        984ce172b9216f419f445367456d5619314a42a3da86b001387bfdb80e0cfe42";
        let mut got = String::new();
        for _ in 0..16 {
            write!(got, "{:08x}", draws.next_u32().swap_bytes()).unwrap();
        }
        assert_eq!(got, expected);
    }

    #[test]
    fn value_stability_of_a_named_stream() {
        let stream = Stream::new(7, "value-stability");
        let mut draws = stream.sample(3);
        let words: Vec<u32> = (0..4).map(|_| draws.next_u32()).collect();
        assert_eq!(words, [1_285_988_522, 3_733_145_176, 3_330_429_723, 1_723_767_905]);
        // by an independent implementation in another language
        assert_eq!(stream.sample(0).permutation(7), [5, 0, 4, 1, 3, 2, 6]);
        assert_eq!(stream.sample(1).permutation(7), [3, 1, 2, 0, 5, 6, 4]);
        assert_ne!(Stream::new(7, "a"), Stream::new(8, "a"));
        assert_ne!(Stream::new(7, "a"), Stream::new(7, "b"));
    }

    struct Block<'a>(&'a Stream);

    impl Kernel for Block<'_> {
        type Output = Vec<[u32; 16]>;
        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            let words = self.0.block_on_lanes(lanes, (5 << 32) + 16, 2);
            words.iter().map(|w| lanes.store_u(*w)).collect()
        }
    }

    #[test]
    fn lanes_hold_the_words_of_their_samples_on_every_instruction_set() {
        let stream = Stream::new(1, "lanes");
        for isa in Isa::available() {
            let words = isa.run(Block(&stream));
            for lane in 0..16 {
                let mut draws = stream.sample((5 << 32) + 16 + lane as u64);
                for _ in 0..32 {
                    draws.next_u32();
                }
                for word in &words {
                    assert_eq!(word[lane], draws.next_u32(), "{isa:?} lane {lane}");
                }
            }
        }
    }

    #[test]
    fn uniform_and_normal_moments_lie_within_six_standard_errors() {
        let stream = Stream::new(2, "moments");
        let n = 200_000_u32;
        let mut draws = stream.sample(0);
        let (mut u, mut z, mut z2, mut z4) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..n {
            u += draws.uniform();
            let x = draws.normal();
            z += x;
            z2 += x * x;
            z4 += x * x * x * x;
        }
        let n = f64::from(n);
        let error = 6.0 / n.sqrt();
        assert!((u / n - 0.5).abs() < error / 12.0_f64.sqrt());
        assert!((z / n).abs() < error);
        assert!((z2 / n - 1.0).abs() < error * 2.0_f64.sqrt());
        assert!((z4 / n - 3.0).abs() < error * 96.0_f64.sqrt());
    }

    #[test]
    fn permutations_of_three_are_uniform() {
        let stream = Stream::new(3, "permutation");
        let mut counts = [0_u32; 6];
        let n = 60_000;
        for i in 0..n {
            let p = stream.sample(i).permutation(3);
            counts[p[0] * 2 + usize::from(p[1] > p[2])] += 1;
        }
        // chi-squared with 5 degrees of freedom, 1e-4 quantile 25.7
        let e = n as f64 / 6.0;
        let chi2: f64 = counts.iter().map(|c| (f64::from(*c) - e) * (f64::from(*c) - e) / e).sum();
        assert!(chi2 < 25.7, "{counts:?}");
    }
}
