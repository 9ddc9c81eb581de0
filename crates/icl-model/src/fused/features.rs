//! The positive-feature estimate of the softmax kernel, `phi(k) . phi(q)`, and its gradient.
//!
//! `phi_r(x) = exp(omega_r . x - |x|^2 / 2)`; the factor `1/d_r` and common shifts of all keys or of
//! the query cancel in the attention weights and are left out. Exponents are formed to base 2: the rows
//! carry the factor `log2(e)`. With the products `w_rj = phi_r(q) phi_r(k_j)`
//!
//! ```text
//! K_j = sum_r w_rj,     m_j = sum_r w_rj omega_r
//! d_k_j = g_j (m_j - K_j k_j),     d_q = sum_j g_j m_j        g_j: the gradient towards K_j
//! ```
//!
//! so one pass over the features gives the estimates and all that the gradient needs, and no feature of
//! a key is kept. (The query's own `-|q|^2/2` has no gradient: `sum_j g_j K_j = 0` for normalised
//! weights.) Tiles of four tokens by two features, or by four dimensions, stay in the registers; blocks
//! of features stay in the first cache.

use super::linear::{add_scaled, dot};
use icl_numerics::elementary::exp2_normal;
use icl_numerics::lanes::{Lane16, Lanes};
use std::f32::consts::{LN_2, LOG2_E};

/// Features per block.
const BLOCK: usize = 64;
/// Tokens per tile, and dimensions per tile of `m_j`.
const TILE: usize = 4;

/// What one prompt group needs.
pub(super) struct FeatureScratch {
    phi_q: Vec<Lane16>,
    /// First summand of every exponent, `-|k_j|^2/2` up to a common shift, to base 2.
    start: Vec<Lane16>,
    /// `K_j`.
    pub(super) estimate: Vec<Lane16>,
    /// `m_j`, `[n_tokens, d]`; empty where no gradient is wanted.
    moments: Vec<Lane16>,
    /// `w_rj` of one block and tile.
    products: Vec<Lane16>,
}

impl FeatureScratch {
    pub(super) fn new(d_r: usize, n_tokens: usize, d: usize, with_gradient: bool) -> Self {
        let zeros = |n: usize| vec![Lane16::ZERO; n];
        Self {
            phi_q: zeros(d_r),
            start: zeros(n_tokens),
            estimate: zeros(n_tokens),
            moments: zeros(if with_gradient { n_tokens * d } else { 0 }),
            products: zeros(TILE * BLOCK),
        }
    }
}

/// Estimates and moments for query `q` `[d]` and keys `[n_tokens, d]`; `omegas` are the rows times
/// `log2(e)`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    q: &[Lane16],
    keys: &[Lane16],
) {
    query_features(l, omegas, s, q);
    starts(l, s, keys, q.len());
    s.moments.fill(Lane16::ZERO);
    let d = q.len();
    let whole = keys.len() / d / TILE * TILE;
    for j in (0..whole).step_by(TILE) {
        tile::<L, TILE>(l, omegas, s, &keys[j * d..(j + TILE) * d], j);
    }
    for j in whole..keys.len() / d {
        tile::<L, 1>(l, omegas, s, &keys[j * d..(j + 1) * d], j);
    }
}

/// `phi_q = 2^(omega . q - max_r omega_r . q)`.
#[inline(always)]
fn query_features<L: Lanes>(l: L, omegas: &[f32], s: &mut FeatureScratch, q: &[Lane16]) {
    let mut top = l.splat(f32::NEG_INFINITY);
    for (phi, omega) in s.phi_q.iter_mut().zip(omegas.chunks_exact(q.len())) {
        let exponent = dot(l, omega, q);
        top = l.max(top, exponent);
        *phi = l.store(exponent);
    }
    for phi in &mut s.phi_q {
        *phi = l.store(exp2_normal(l, l.sub(l.load(phi), top)));
    }
}

/// `start_j = (min_j |k_j|^2 / 2 - |k_j|^2 / 2) log2(e)`.
#[inline(always)]
fn starts<L: Lanes>(l: L, s: &mut FeatureScratch, keys: &[Lane16], d: usize) {
    let mut least = l.splat(f32::INFINITY);
    for (start, key) in s.start.iter_mut().zip(keys.chunks_exact(d)) {
        let half_norm = l.mul(l.splat(0.5), dot(l, key, key));
        least = l.min(least, half_norm);
        *start = l.store(half_norm);
    }
    for start in &mut s.start {
        *start = l.store(l.mul(l.splat(LOG2_E), l.sub(least, l.load(start))));
    }
}

/// All features of `T` tokens from token `j`, block by block.
#[inline(always)]
fn tile<L: Lanes, const T: usize>(
    l: L,
    omegas: &[f32],
    s: &mut FeatureScratch,
    keys: &[Lane16],
    j: usize,
) {
    let d = keys.len() / T;
    let mut start = [l.splat(0.0); T];
    for t in 0..T {
        start[t] = l.load(&s.start[j + t]);
    }
    let keys: [&[Lane16]; T] = std::array::from_fn(|t| &keys[t * d..(t + 1) * d]);
    let mut estimate = [l.splat(0.0); T];
    for (b, omegas) in omegas.chunks(BLOCK * d).enumerate() {
        let phi_q = &s.phi_q[b * BLOCK..];
        products::<L, T>(l, omegas, keys, start, phi_q, &mut estimate, &mut s.products);
        if s.moments.is_empty() {
            continue;
        }
        let moments = &mut s.moments[j * d..(j + T) * d];
        let products = &s.products[..omegas.len() / d * T];
        let whole = d / TILE * TILE;
        for i in (0..whole).step_by(TILE) {
            add_moments::<L, T, TILE>(l, omegas, products, d, i, moments);
        }
        for i in whole..d {
            add_moments::<L, T, 1>(l, omegas, products, d, i, moments);
        }
    }
    for (place, estimate) in s.estimate[j..].iter_mut().zip(estimate) {
        *place = l.store(estimate);
    }
}

/// `w_rj` of one block, two features at a time, and their sums.
#[inline(always)]
fn products<L: Lanes, const T: usize>(
    l: L,
    omegas: &[f32],
    keys: [&[Lane16]; T],
    start: [L::F; T],
    phi_q: &[Lane16],
    estimate: &mut [L::F; T],
    products: &mut [Lane16],
) {
    let d = keys[0].len();
    let mut r = 0;
    for pair in omegas.chunks(2 * d) {
        let (first, second) = pair.split_at(d);
        let width = pair.len() / d;
        // a single last feature is computed twice and counted once
        let second = if second.is_empty() { first } else { second };
        let exponents = exponents::<L, T, 2>(l, [first, second], keys, start);
        for half in 0..width {
            let phi_q = l.load(&phi_q[r + half]);
            for t in 0..T {
                let product = l.mul(phi_q, exp2_normal(l, exponents[t][half]));
                estimate[t] = l.add(estimate[t], product);
                products[(r + half) * T + t] = l.store(product);
            }
        }
        r += width;
    }
}

/// `start_t + omega_r . k_t` for a tile.
#[inline(always)]
fn exponents<L: Lanes, const T: usize, const R: usize>(
    l: L,
    omegas: [&[f32]; R],
    keys: [&[Lane16]; T],
    start: [L::F; T],
) -> [[L::F; R]; T] {
    let mut sums = [[l.splat(0.0); R]; T];
    for t in 0..T {
        sums[t] = [start[t]; R];
    }
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

/// Adds `sum_r w_rt omega_r`, dimensions `i .. i + I`, to the moments of `T` tokens.
#[inline(always)]
fn add_moments<L: Lanes, const T: usize, const I: usize>(
    l: L,
    omegas: &[f32],
    products: &[Lane16],
    d: usize,
    i: usize,
    moments: &mut [Lane16],
) {
    // nested loops, not nested `from_fn`: those become calls that copy the tile through memory
    let mut sums = [[l.splat(0.0); I]; T];
    for t in 0..T {
        for c in 0..I {
            sums[t][c] = l.load(&moments[t * d + i + c]);
        }
    }
    for (products, omega) in products.chunks_exact(T).zip(omegas.chunks_exact(d)) {
        let omega = &omega[i..i + I];
        for t in 0..T {
            let product = l.load(&products[t]);
            for c in 0..I {
                sums[t][c] = l.mul_add(l.splat(omega[c]), product, sums[t][c]);
            }
        }
    }
    for t in 0..T {
        for c in 0..I {
            moments[t * d + i + c] = l.store(sums[t][c]);
        }
    }
}

/// Gradients `d_q` and `d_keys` from `g_j`, the gradient towards the estimates.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    s: &FeatureScratch,
    keys: &[Lane16],
    g: &[Lane16],
    d_q: &mut [Lane16],
    d_keys: &mut [Lane16],
) {
    let d = d_q.len();
    d_q.fill(Lane16::ZERO);
    for (j, (d_key, key)) in d_keys.chunks_exact_mut(d).zip(keys.chunks_exact(d)).enumerate() {
        let g = l.load(&g[j]);
        // the moments carry log2(e) from the rows
        let natural = l.mul(g, l.splat(LN_2));
        let moment = &s.moments[j * d..(j + 1) * d];
        add_scaled(l, d_q, natural, moment);
        let own = l.neg(l.mul(g, l.load(&s.estimate[j])));
        for (d_key, (m, k)) in d_key.iter_mut().zip(moment.iter().zip(key)) {
            *d_key = l.store(l.mul_add(own, l.load(k), l.mul(natural, l.load(m))));
        }
    }
}
