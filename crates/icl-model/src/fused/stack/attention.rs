//! One head over several queries of sixteen prompts, with gradients towards the tokens.

use super::super::augmentation::{self, MapScratch};
use super::super::linear::{add_outers, add_product_transposed, dot, product, product_transposed};
use super::super::negatives::{self, NegativeScratch};
use super::super::weights::{HeadWeights, Offsets};
use super::FusedStack;
use crate::attention::Terms;
use icl_numerics::elementary::exp_normal;
use icl_numerics::lanes::{Lane16, Lanes};

/// What the backward pass of one head reads again, and its own buffers; `T` tokens.
pub(super) struct AttentionScratch {
    /// `[queries, d]`.
    q: Vec<Lane16>,
    /// `[T, d]`.
    keys: Vec<Lane16>,
    keys_map: MapScratch,
    /// `[T, d]`, `g1(v)`.
    values: Vec<Lane16>,
    values_map: MapScratch,
    negatives: NegativeScratch,
    /// `[T, d]`, after negatives and regularisation.
    mixed: Vec<Lane16>,
    /// Attention weights `[queries, T]`.
    p: Vec<Lane16>,
    d_q: Vec<Lane16>,
    d_keys: Vec<Lane16>,
    d_values: Vec<Lane16>,
    d_mixed: Vec<Lane16>,
    /// Gradients towards the scores, `[queries, T]`.
    d_scores: Vec<Lane16>,
}

impl AttentionScratch {
    pub(super) fn new(stack: &FusedStack, n: usize, queries: usize) -> Self {
        let (d, n_tokens) = (stack.d, n + 1);
        let zeros = |k: usize| vec![Lane16::ZERO; k];
        let tokens = || zeros(n_tokens * d);
        let modification = &stack.modification;
        Self {
            q: zeros(queries * d),
            keys: tokens(),
            keys_map: MapScratch::new(modification.keys, n, d),
            values: tokens(),
            values_map: MapScratch::new(modification.values, n, d),
            negatives: match modification.negatives {
                Some(negatives) => NegativeScratch::new(negatives.count(n), n, d),
                None => NegativeScratch::none(),
            },
            mixed: tokens(),
            p: zeros(queries * n_tokens),
            d_q: zeros(queries * d),
            d_keys: tokens(),
            d_values: tokens(),
            d_mixed: tokens(),
            d_scores: zeros(queries * n_tokens),
        }
    }
}

/// Adds `h'` of the last `out.len() / d` tokens to `out` `[queries, d]`; all tokens but the last are
/// demonstrations.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    modification: &Terms,
    w: &HeadWeights<'_>,
    s: &mut AttentionScratch,
    tokens: &[Lane16],
    out: &mut [Lane16],
    d: usize,
) {
    let demos = tokens.len() - d;
    let queries = &tokens[tokens.len() - out.len()..];
    for (q, token) in s.q.chunks_exact_mut(d).zip(queries.chunks_exact(d)) {
        product(l, q, w.scale, w.w_q, token);
    }
    let rows = s.keys.chunks_exact_mut(d).zip(s.values.chunks_exact_mut(d));
    for ((key, value), token) in rows.zip(tokens.chunks_exact(d)) {
        product(l, key, w.scale, w.w_k, token);
        product(l, value, 1.0, w.w_v, token);
    }
    augmentation::forward(l, w.keys, &mut s.keys_map, &mut s.keys[..demos], d);
    augmentation::forward(l, w.values, &mut s.values_map, &mut s.values[..demos], d);
    s.mixed.copy_from_slice(&s.values);
    if let Some(of) = modification.negatives {
        negatives::choose(l, of.rule, &w.similarity, &mut s.negatives, &tokens[..demos], d);
        let (chosen, weight) = (&s.negatives.chosen, of.weight(demos / d));
        negatives::mix_rows(l, chosen, weight, &s.values[..demos], &mut s.mixed[..demos], d);
    }
    shrink_rows(l, modification, &mut s.mixed, d);
    let n_tokens = tokens.len() / d;
    let rows = s.q.chunks_exact(d).zip(s.p.chunks_exact_mut(n_tokens));
    for ((q, p), out) in rows.zip(out.chunks_exact_mut(d)) {
        product(l, p, 1.0, &s.keys, q);
        softmax(l, p);
        add_product_transposed(l, out, 1.0, &s.mixed, p);
    }
}

/// Multiplies the query side by its factor and, for steps on each demonstration, every row by the shrinkage to the
/// power of the steps that follow it.
#[inline(always)]
fn shrink_rows<L: Lanes>(l: L, modification: &Terms, rows: &mut [Lane16], d: usize) {
    let shrinkage = modification.shrinkage();
    let (demos, query_side) = rows.split_at_mut(rows.len() - d);
    let mut power = 1.0_f32;
    if shrinkage != 1.0 {
        for row in demos.chunks_exact_mut(d).rev() {
            row.iter_mut().for_each(|x| *x = l.store(l.mul(l.splat(power), l.load(x))));
            power *= shrinkage;
        }
    }
    let factor = l.splat(modification.query_side_factor() * power);
    query_side.iter_mut().for_each(|x| *x = l.store(l.mul(factor, l.load(x))));
}

/// Replaces scores by `exp(score) / sum_j exp(score_j)`.
#[inline(always)]
fn softmax<L: Lanes>(l: L, p: &mut [Lane16]) {
    let mut top = l.splat(f32::NEG_INFINITY);
    for p in p.iter() {
        top = l.max(top, l.load(p));
    }
    let mut total = l.splat(0.0);
    for p in p.iter_mut() {
        let weight = exp_normal(l, l.sub(l.load(p), top));
        total = l.add(total, weight);
        *p = l.store(weight);
    }
    let inverse = l.div(l.splat(1.0), total);
    for p in p.iter_mut() {
        *p = l.store(l.mul(l.load(p), inverse));
    }
}

/// Tokens of a layer and the gradient towards them; none is wanted for the prompt's own tokens.
pub(super) struct Tokens<'a> {
    pub(super) rows: &'a [Lane16],
    pub(super) gradient: Option<&'a mut [Lane16]>,
    /// Size of a token.
    pub(super) d: usize,
}

/// Adds the gradients of the head's weights, and of the tokens, for `d_out` `[queries, d]`.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    (modification, offsets): (&Terms, &Offsets),
    w: &HeadWeights<'_>,
    s: &mut AttentionScratch,
    Tokens { rows: tokens, gradient: d_tokens, d }: &mut Tokens<'_>,
    d_out: &[Lane16],
    gradient: &mut [Lane16],
) {
    let d = *d;
    let demos = tokens.len() - d;
    let query_side = tokens.len() - d_out.len();
    backward_scores(l, s, d_out, d);
    backward_mixing(l, modification, s, demos, d);
    let map = offsets.values_gradient(gradient);
    augmentation::backward(l, w.values, &mut s.values_map, &mut s.d_values[..demos], d, map);
    let map = offsets.keys_gradient(gradient);
    augmentation::backward(l, w.keys, &mut s.keys_map, &mut s.d_keys[..demos], d, map);
    let sides = [
        (w.q_range.clone(), w.scale, w.w_q, &s.d_q, query_side),
        (w.k_range.clone(), w.scale, w.w_k, &s.d_keys, 0),
        (w.v_range.clone(), 1.0, w.w_v, &s.d_values, 0),
    ];
    for (range, scale, weights, d_rows, first) in sides {
        add_outers(l, &mut gradient[range], scale, d_rows, &tokens[first..], [d, d]);
        let Some(d_tokens) = d_tokens else { continue };
        for (dx, row) in d_tokens[first..].chunks_exact_mut(d).zip(d_rows.chunks_exact(d)) {
            add_product_transposed(l, dx, scale, weights, row);
        }
    }
}

/// Through the weighted sums and the softmax: leaves the gradients towards queries, keys and mixed values.
#[inline(always)]
fn backward_scores<L: Lanes>(l: L, s: &mut AttentionScratch, d_out: &[Lane16], d: usize) {
    let n_tokens = s.keys.len() / d;
    let rows = s.p.chunks_exact(n_tokens).zip(s.d_scores.chunks_exact_mut(n_tokens));
    let rows = rows.zip(s.d_q.chunks_exact_mut(d));
    for (((p, d_scores), d_q), d_out) in rows.zip(d_out.chunks_exact(d)) {
        product(l, d_scores, 1.0, &s.mixed, d_out);
        let mean = dot(l, p, d_scores);
        for (ds, p) in d_scores.iter_mut().zip(p) {
            *ds = l.store(l.mul(l.load(p), l.sub(l.load(ds), mean)));
        }
        product_transposed(l, d_q, 1.0, &s.keys, d_scores);
    }
    s.d_keys.fill(Lane16::ZERO);
    add_outers(l, &mut s.d_keys, 1.0, &s.d_scores, &s.q, [n_tokens, d]);
    s.d_mixed.fill(Lane16::ZERO);
    add_outers(l, &mut s.d_mixed, 1.0, &s.p, d_out, [n_tokens, d]);
}

/// From the mixed values to `g1(v)`.
#[inline(always)]
fn backward_mixing<L: Lanes>(
    l: L,
    modification: &Terms,
    s: &mut AttentionScratch,
    demos: usize,
    d: usize,
) {
    shrink_rows(l, modification, &mut s.d_mixed, d);
    s.d_values[demos..].copy_from_slice(&s.d_mixed[demos..]);
    let (d_mixed, d_values) = (&s.d_mixed[..demos], &mut s.d_values[..demos]);
    match modification.negatives {
        Some(of) => {
            let (chosen, weight) = (&s.negatives.chosen, of.weight(demos / d));
            negatives::mix_rows_transposed(l, chosen, weight, d_mixed, d_values, d);
        }
        None => d_values.copy_from_slice(d_mixed),
    }
}
