//! The positive-feature estimate of the softmax kernel, `phi(k) . phi(q)`, and its gradient.
//!
//! `phi_r(x) = exp(omega_r . x - |x|^2 / 2)`; the factor `1/d_r` and common shifts of all keys or of
//! the query cancel in the attention weights and are left out. Features are handled in tiles of
//! four tokens and two features, small enough for the registers, and the stored features in blocks
//! small enough for the cache.

use super::linear::{add_scaled, dot, dot_row};
use icl_numerics::elementary::exp_normal;
use icl_numerics::lanes::{Lane16, Lanes};

/// Features per block in the backward pass.
const BLOCK: usize = 64;
/// Tokens per tile.
const TILE: usize = 4;

/// Stored features of one prompt group.
pub(super) struct FeatureScratch {
    d_r: usize,
    phi_q: Vec<Lane16>,
    /// `[n_tokens, d_r]`.
    phi_k: Vec<Lane16>,
    shift: Vec<Lane16>,
    /// Kernel estimates, `[n_tokens]`.
    pub(super) estimate: Vec<Lane16>,
    weighted: Vec<Lane16>,
    d_exponent_q: Vec<Lane16>,
}

impl FeatureScratch {
    pub(super) fn new(d_r: usize, n_tokens: usize) -> Self {
        let zeros = |n: usize| vec![Lane16::ZERO; n];
        Self {
            d_r,
            phi_q: zeros(d_r),
            phi_k: zeros(d_r * n_tokens),
            shift: zeros(n_tokens),
            estimate: zeros(n_tokens),
            weighted: zeros(TILE * BLOCK),
            d_exponent_q: zeros(BLOCK),
        }
    }
}

/// Fills features and estimates for query `q` `[d]` and keys `[n_tokens, d]`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    q: &[Lane16],
    keys: &[Lane16],
) {
    query_features(l, omegas, s, q);
    shifts(l, s, keys, q.len());
    let d = q.len();
    let whole = keys.len() / d / TILE * TILE;
    for j in (0..whole).step_by(TILE) {
        tile_forward::<L, TILE>(l, omegas, s, &keys[j * d..(j + TILE) * d], j);
    }
    for j in whole..keys.len() / d {
        tile_forward::<L, 1>(l, omegas, s, &keys[j * d..(j + 1) * d], j);
    }
}

/// `phi_q = exp(omega . q - max_r omega_r . q)`.
#[inline(always)]
fn query_features<L: Lanes>(l: L, omegas: &[f32], s: &mut FeatureScratch, q: &[Lane16]) {
    let mut top = l.splat(f32::NEG_INFINITY);
    for (phi, omega) in s.phi_q.iter_mut().zip(omegas.chunks_exact(q.len())) {
        let exponent = dot_row(l, omega, q);
        top = l.max(top, exponent);
        *phi = l.store(exponent);
    }
    for phi in &mut s.phi_q {
        *phi = l.store(exp_normal(l, l.sub(l.load(phi), top)));
    }
}

/// `shift_j = |k_j|^2 / 2 - min_j |k_j|^2 / 2`.
#[inline(always)]
fn shifts<L: Lanes>(l: L, s: &mut FeatureScratch, keys: &[Lane16], d: usize) {
    let mut least = l.splat(f32::INFINITY);
    for (shift, key) in s.shift.iter_mut().zip(keys.chunks_exact(d)) {
        let half_norm = l.mul(l.splat(0.5), dot(l, key, key));
        least = l.min(least, half_norm);
        *shift = l.store(half_norm);
    }
    for shift in &mut s.shift {
        *shift = l.store(l.sub(l.load(shift), least));
    }
}

/// Features of `T` tokens from token `j`, two features at a time.
#[inline(always)]
fn tile_forward<L: Lanes, const T: usize>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    keys: &[Lane16],
    j: usize,
) {
    let d = keys.len() / T;
    let shift: [L::F; T] = std::array::from_fn(|t| l.load(&s.shift[j + t]));
    let mut estimate = [l.splat(0.0); T];
    let keys: [&[Lane16]; T] = std::array::from_fn(|t| &keys[t * d..(t + 1) * d]);
    let mut r = 0;
    for pair in omegas.chunks(2 * d) {
        let (first, second) = pair.split_at(d);
        let exponents = if second.is_empty() {
            exponents::<L, T, 1>(l, [first], keys).map(|[x]| [x, x])
        } else {
            exponents::<L, T, 2>(l, [first, second], keys)
        };
        let width = pair.len() / d;
        for t in 0..T {
            for (half, exponent) in exponents[t].into_iter().enumerate().take(width) {
                let phi = exp_normal(l, l.sub(exponent, shift[t]));
                estimate[t] = l.mul_add(l.load(&s.phi_q[r + half]), phi, estimate[t]);
                s.phi_k[(j + t) * s.d_r + r + half] = l.store(phi);
            }
        }
        r += width;
    }
    for (place, estimate) in s.estimate[j..].iter_mut().zip(estimate) {
        *place = l.store(estimate);
    }
}

/// `omega_r . k_t` for a tile.
#[inline(always)]
fn exponents<L: Lanes, const T: usize, const R: usize>(
    l: L,
    omegas: [&[f32]; R],
    keys: [&[Lane16]; T],
) -> [[L::F; R]; T] {
    let mut sums = [[l.splat(0.0); R]; T];
    let d = keys[0].len();
    let (omegas, keys) = (omegas.map(|w| &w[..d]), keys.map(|k| &k[..d]));
    for i in 0..d {
        let omega = omegas.map(|w| l.splat(w[i]));
        for t in 0..T {
            let key = l.load(&keys[t][i]);
            for r in 0..R {
                sums[t][r] = l.mul_add(omega[r], key, sums[t][r]);
            }
        }
    }
    sums
}

/// Gradients `d_q` and `d_keys` from `g_j`, the gradient towards the estimates.
///
/// ```text
/// d(omega_r . k_j) = g_j phi_q,r phi_k,rj =: w_rj
/// d_k_j = sum_r w_rj omega_r - k_j g_j K_j,     d_q = sum_r (sum_j w_rj) omega_r
/// ```
///
/// The query's own `-|q|^2/2` has no gradient: `sum_j g_j K_j = 0` for normalised weights.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    keys: &[Lane16],
    g: &[Lane16],
    d_q: &mut [Lane16],
    d_keys: &mut [Lane16],
) {
    let d = d_q.len();
    d_q.fill(Lane16::ZERO);
    for ((d_key, key), (g, estimate)) in
        d_keys.chunks_exact_mut(d).zip(keys.chunks_exact(d)).zip(g.iter().zip(&s.estimate))
    {
        let factor = l.neg(l.mul(l.load(g), l.load(estimate)));
        d_key.fill(Lane16::ZERO);
        add_scaled(l, d_key, factor, key);
    }
    let n_tokens = g.len();
    let whole = n_tokens / TILE * TILE;
    for (b, omegas) in omegas.chunks(BLOCK * d).enumerate() {
        let start = b * BLOCK;
        let width = omegas.len() / d;
        s.d_exponent_q[..width].fill(Lane16::ZERO);
        for j in (0..whole).step_by(TILE) {
            tile_backward::<L, TILE>(l, omegas, s, start, g, j, &mut d_keys[j * d..(j + TILE) * d]);
        }
        for j in whole..n_tokens {
            tile_backward::<L, 1>(l, omegas, s, start, g, j, &mut d_keys[j * d..(j + 1) * d]);
        }
        for (omega, dx) in omegas.chunks_exact(d).zip(&s.d_exponent_q) {
            super::linear::add_scaled_row(l, d_q, l.load(dx), omega);
        }
    }
}

/// One block of features for `T` tokens.
#[inline(always)]
fn tile_backward<L: Lanes, const T: usize>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    start: usize,
    g: &[Lane16],
    j: usize,
    d_keys: &mut [Lane16],
) {
    let d = d_keys.len() / T;
    let width = omegas.len() / d;
    let g: [L::F; T] = std::array::from_fn(|t| l.load(&g[j + t]));
    for r in 0..width {
        let phi_q = l.load(&s.phi_q[start + r]);
        let mut total = l.load(&s.d_exponent_q[r]);
        for (t, g) in g.into_iter().enumerate() {
            let phi_k = l.load(&s.phi_k[(j + t) * s.d_r + start + r]);
            let weighted = l.mul(l.mul(phi_q, g), phi_k);
            total = l.add(total, weighted);
            s.weighted[r * T + t] = l.store(weighted);
        }
        s.d_exponent_q[r] = l.store(total);
    }
    let weighted = &s.weighted[..width * T];
    for i in 0..d {
        let mut sums: [L::F; T] = std::array::from_fn(|t| l.load(&d_keys[t * d + i]));
        for (weighted, omega) in weighted.chunks_exact(T).zip(omegas[i..].iter().step_by(d)) {
            let omega = l.splat(*omega);
            for t in 0..T {
                sums[t] = l.mul_add(omega, l.load(&weighted[t]), sums[t]);
            }
        }
        for t in 0..T {
            d_keys[t * d + i] = l.store(sums[t]);
        }
    }
}
