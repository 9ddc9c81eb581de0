//! One attention head on sixteen prompts: forward and backward.

use super::FusedLayer;
use super::augmentation::{self, MapScratch};
use super::features::{self, FeatureScratch};
use super::linear::{add_outer, add_outers, add_scaled, dot, product, product_transposed};
use super::negatives::{self, NegativeScratch};
use super::weights::HeadWeights;
use crate::attention::Form;
use crate::kernel::Kernel;
use icl_numerics::elementary::exp_normal;
use icl_numerics::lanes::{Lane16, Lanes};

/// Buffers of one head, reused from group to group.
pub(super) struct HeadScratch {
    q: Vec<Lane16>,
    /// `W_K^T q`, where keys are not formed.
    u: Vec<Lane16>,
    /// `[n_tokens, d]`, where they are.
    keys: Vec<Lane16>,
    keys_map: MapScratch,
    /// `[n_tokens, d]`, only with augmented values.
    values: Vec<Lane16>,
    values_map: MapScratch,
    features: Option<FeatureScratch>,
    /// Attention weights.
    p: Vec<Lane16>,
    /// Those of the demonstrations after the dual's shrinkage.
    shrunk: Vec<Lane16>,
    /// Weights after negatives and regularisation.
    coefficients: Vec<Lane16>,
    negatives: NegativeScratch,
    /// `sum_j c_j h_j`, where values are not formed.
    z: Vec<Lane16>,
    d_vector: Vec<Lane16>,
    d_q: Vec<Lane16>,
    d_p: Vec<Lane16>,
    d_coefficients: Vec<Lane16>,
    /// Gradients towards values, then towards keys, `[n_tokens, d]`.
    d_rows: Vec<Lane16>,
}

impl HeadScratch {
    pub(super) fn new(layer: &FusedLayer, with_gradient: bool) -> Self {
        let (d, n, n_tokens) = (layer.shape.d(), layer.shape.n_demos, layer.shape.n_tokens());
        let zeros = |n: usize| vec![Lane16::ZERO; n];
        let only = |condition: bool, n: usize| zeros(if condition { n } else { 0 });
        let modification = &layer.modification;
        Self {
            q: zeros(d),
            u: zeros(d),
            keys: only(forms_keys(layer), n_tokens * d),
            keys_map: MapScratch::new(modification.keys, n, d),
            values: only(forms_values(layer), n_tokens * d),
            values_map: MapScratch::new(modification.values, n, d),
            features: match &layer.kernel {
                Kernel::Positive(omegas) => {
                    Some(FeatureScratch::new(omegas.d_r(), n_tokens, d, with_gradient))
                }
                _ => None,
            },
            p: zeros(n_tokens),
            shrunk: zeros(n),
            coefficients: zeros(n_tokens),
            negatives: match modification.negatives {
                Some(negatives) => NegativeScratch::new(negatives.count(n), n, d),
                None => NegativeScratch::none(),
            },
            z: zeros(d),
            d_vector: zeros(d),
            d_q: zeros(d),
            d_p: zeros(n_tokens),
            d_coefficients: zeros(n_tokens),
            d_rows: only(forms_keys(layer) || forms_values(layer), n_tokens * d),
        }
    }
}

/// Keys are formed for features and for `g2`.
fn forms_keys(layer: &FusedLayer) -> bool {
    matches!(layer.kernel, Kernel::Positive(_)) || layer.modification.keys.form != Form::Identity
}

/// Values are formed for `g1`.
fn forms_values(layer: &FusedLayer) -> bool {
    layer.modification.values.form != Form::Identity
}

/// Adds the head's output for the query, its s-part, to `out`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
    out: &mut [Lane16],
) {
    let (d, n) = (layer.shape.d(), layer.shape.n_demos);
    product(l, &mut s.q, w.scale, w.w_q, &tokens[n * d..]);
    if forms_keys(layer) {
        for (key, token) in s.keys.chunks_exact_mut(d).zip(tokens.chunks_exact(d)) {
            product(l, key, w.scale, w.w_k, token);
        }
        augmentation::forward(l, w.keys, &mut s.keys_map, &mut s.keys[..n * d], d);
    } else {
        product_transposed(l, &mut s.u, w.scale, w.w_k, &s.q);
    }
    attention_weights(l, layer, s, tokens);
    coefficients(l, layer, w, s, tokens);
    if forms_values(layer) {
        output_from_values(l, layer, w, s, tokens, out);
    } else {
        s.z.fill(Lane16::ZERO);
        for (c, token) in s.coefficients.iter().zip(tokens.chunks_exact(d)) {
            add_scaled(l, &mut s.z, l.load(c), token);
        }
        let rows = w.w_v.chunks_exact(d).skip(layer.shape.d_t);
        for (out, row) in out.iter_mut().zip(rows) {
            *out = l.store(l.add(l.load(out), dot(l, row, &s.z)));
        }
    }
}

/// `p_j = K(k_j, q) / sum_j K(k_j, q)`; for linear attention `p_j = k_j . q / N`.
#[inline(always)]
fn attention_weights<L: Lanes>(l: L, layer: &FusedLayer, s: &mut HeadScratch, tokens: &[Lane16]) {
    let d = layer.shape.d();
    let mut total = l.splat(0.0);
    if let Some(features) = &mut s.features {
        features::forward(l, &layer.scaled_omegas, features, &s.q, &s.keys);
        s.p.copy_from_slice(&features.estimate);
        for p in &s.p {
            total = l.add(total, l.load(p));
        }
    } else {
        let (query, keys) =
            if s.keys.is_empty() { (&s.u, tokens) } else { (&s.q, s.keys.as_slice()) };
        let n = layer.shape.n_demos;
        let seen = if layer.kernel == Kernel::Softmax { n + 1 } else { n };
        s.p[seen..].fill(Lane16::ZERO);
        let mut top = l.splat(f32::NEG_INFINITY);
        for (p, key) in s.p[..seen].iter_mut().zip(keys.chunks_exact(d)) {
            let score = dot(l, query, key);
            top = l.max(top, score);
            *p = l.store(score);
        }
        if layer.kernel == Kernel::Linear {
            let share = l.splat(1.0 / n as f32);
            for p in &mut s.p[..n] {
                *p = l.store(l.mul(l.load(p), share));
            }
            return;
        }
        for p in &mut s.p[..seen] {
            let weight = exp_normal(l, l.sub(l.load(p), top));
            total = l.add(total, weight);
            *p = l.store(weight);
        }
    }
    let inverse = l.div(l.splat(1.0), total);
    for p in &mut s.p {
        *p = l.store(l.mul(l.load(p), inverse));
    }
}

/// Weights after negatives (demonstrations) and regularisation (query side).
#[inline(always)]
fn coefficients<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
) {
    let (d, n) = (layer.shape.d(), layer.shape.n_demos);
    let modification = &layer.modification;
    let query_side = modification.query_side_factor();
    s.coefficients[n] = l.store(l.mul(l.splat(query_side), l.load(&s.p[n])));
    // `p` stays as it is for the way back
    s.shrunk.copy_from_slice(&s.p[..n]);
    shrink(l, modification.shrinkage(), &mut s.shrunk, &mut s.coefficients[n]);
    if let Some(of) = modification.negatives {
        negatives::choose(l, of.rule, &w.similarity, &mut s.negatives, &tokens[..n * d], d);
        let (chosen, p) = (&s.negatives.chosen, &s.shrunk);
        negatives::mix_transposed(l, chosen, of.weight(n), p, &mut s.coefficients[..n]);
    } else {
        s.coefficients[..n].copy_from_slice(&s.shrunk);
    }
}

/// Steps on each demonstration: its weight times the shrinkage to the power of the steps that follow, that of the
/// query side times all of them.
#[inline(always)]
fn shrink<L: Lanes>(l: L, shrinkage: f32, demonstrations: &mut [Lane16], query_side: &mut Lane16) {
    if shrinkage == 1.0 {
        return;
    }
    let mut power = 1.0_f32;
    for p in demonstrations.iter_mut().rev().chain([query_side]) {
        *p = l.store(l.mul(l.splat(power), l.load(p)));
        power *= shrinkage;
    }
}

/// `out_s += sum_j c_j g1(v_j)_s`, the query side without `g1`.
#[inline(always)]
fn output_from_values<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
    out: &mut [Lane16],
) {
    let (d, n) = (layer.shape.d(), layer.shape.n_demos);
    for (value, token) in s.values.chunks_exact_mut(d).zip(tokens.chunks_exact(d)) {
        product(l, value, 1.0, w.w_v, token);
    }
    augmentation::forward(l, w.values, &mut s.values_map, &mut s.values[..n * d], d);
    for (c, value) in s.coefficients.iter().zip(s.values.chunks_exact(d)) {
        add_scaled(l, out, l.load(c), &value[layer.shape.d_t..]);
    }
}

/// Adds the head's weight gradients for `d_out`, the gradient towards the s-part of its output.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
    d_out: &[Lane16],
    gradient: &mut [Lane16],
) {
    let (d, n) = (layer.shape.d(), layer.shape.n_demos);
    if forms_values(layer) {
        backward_values(l, layer, w, s, tokens, d_out, gradient);
    } else {
        let s_rows = layer.shape.d_t * d..d * d;
        product_transposed(l, &mut s.d_vector, 1.0, &w.w_v[s_rows.clone()], d_out);
        let g_v = &mut gradient[w.v_range.clone()][s_rows];
        add_outer(l, g_v, 1.0, d_out, &s.z);
        for (dc, token) in s.d_coefficients.iter_mut().zip(tokens.chunks_exact(d)) {
            *dc = l.store(dot(l, &s.d_vector, token));
        }
    }
    backward_weights(l, layer, s);
    if forms_keys(layer) {
        backward_keys(l, layer, w, s, tokens, gradient);
    } else {
        s.d_vector.fill(Lane16::ZERO);
        for (ds, token) in s.d_p.iter().zip(tokens.chunks_exact(d)) {
            add_scaled(l, &mut s.d_vector, l.load(ds), token);
        }
        product(l, &mut s.d_q, w.scale, w.w_k, &s.d_vector);
        add_outer(l, &mut gradient[w.k_range.clone()], w.scale, &s.q, &s.d_vector);
    }
    add_outer(l, &mut gradient[w.q_range.clone()], w.scale, &s.d_q, &tokens[n * d..]);
}

/// From the gradient towards the coefficients to that towards the scores, left in `d_p`.
#[inline(always)]
fn backward_weights<L: Lanes>(l: L, layer: &FusedLayer, s: &mut HeadScratch) {
    let n = layer.shape.n_demos;
    let modification = &layer.modification;
    if let Some(of) = modification.negatives {
        let (chosen, weight) = (&s.negatives.chosen, of.weight(n));
        negatives::mix(l, chosen, weight, &s.d_coefficients[..n], &mut s.d_p[..n]);
    } else {
        s.d_p[..n].copy_from_slice(&s.d_coefficients[..n]);
    }
    let query_side = modification.query_side_factor();
    s.d_p[n] = l.store(l.mul(l.splat(query_side), l.load(&s.d_coefficients[n])));
    let (demonstrations, side) = s.d_p.split_at_mut(n);
    shrink(l, modification.shrinkage(), demonstrations, &mut side[0]);
    if layer.kernel == Kernel::Linear {
        let share = l.splat(1.0 / n as f32);
        for dp in &mut s.d_p[..n] {
            *dp = l.store(l.mul(l.load(dp), share));
        }
        s.d_p[n] = Lane16::ZERO;
        return;
    }
    let mean = dot(l, &s.p, &s.d_p);
    for (dp, p) in s.d_p.iter_mut().zip(&s.p) {
        *dp = l.store(l.mul(l.load(p), l.sub(l.load(dp), mean)));
    }
}

/// Through `g1` and `W_V`; leaves the gradient towards the coefficients.
#[inline(always)]
fn backward_values<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
    d_out: &[Lane16],
    gradient: &mut [Lane16],
) {
    let (d, d_t, n) = (layer.shape.d(), layer.shape.d_t, layer.shape.n_demos);
    s.d_rows.fill(Lane16::ZERO);
    let rows = s.values.chunks_exact(d).zip(s.d_rows.chunks_exact_mut(d));
    for (j, (value, d_value)) in rows.enumerate() {
        s.d_coefficients[j] = l.store(dot(l, d_out, &value[d_t..]));
        add_scaled(l, &mut d_value[d_t..], l.load(&s.coefficients[j]), d_out);
    }
    let map = layer.offsets.values_gradient(gradient);
    augmentation::backward(l, w.values, &mut s.values_map, &mut s.d_rows[..n * d], d, map);
    add_outers(l, &mut gradient[w.v_range.clone()], 1.0, &s.d_rows, tokens, [d, d]);
}

/// Through the kernel, `g2` and `W_K`; leaves the gradient towards `q`.
#[inline(always)]
fn backward_keys<L: Lanes>(
    l: L,
    layer: &FusedLayer,
    w: &HeadWeights<'_>,
    s: &mut HeadScratch,
    tokens: &[Lane16],
    gradient: &mut [Lane16],
) {
    let (d, n) = (layer.shape.d(), layer.shape.n_demos);
    if let Some(features) = &s.features {
        // from d log K_j to d K_j
        for (ds, estimate) in s.d_p.iter_mut().zip(&features.estimate) {
            *ds = l.store(l.div(l.load(ds), l.load(estimate)));
        }
        features::backward(l, features, &s.keys, &s.d_p, &mut s.d_q, &mut s.d_rows);
    } else {
        s.d_q.fill(Lane16::ZERO);
        s.d_rows.fill(Lane16::ZERO);
        for ((ds, key), d_key) in
            s.d_p.iter().zip(s.keys.chunks_exact(d)).zip(s.d_rows.chunks_exact_mut(d))
        {
            add_scaled(l, &mut s.d_q, l.load(ds), key);
            add_scaled(l, d_key, l.load(ds), &s.q);
        }
    }
    let map = layer.offsets.keys_gradient(gradient);
    augmentation::backward(l, w.keys, &mut s.keys_map, &mut s.d_rows[..n * d], d, map);
    add_outers(l, &mut gradient[w.k_range.clone()], w.scale, &s.d_rows, tokens, [d, d]);
}
