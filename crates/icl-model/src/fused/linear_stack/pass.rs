//! The stack on sixteen sets of demonstrations, forward and back, in matrices `[d, d]` alone.
//!
//! With `G_0` the second moments of the demonstrations, `T_0 = M_0 = I` and `B_0 = G_0`, layer `l` computes
//!
//! ```text
//! U = Q B,   M' = M + T U                                               the labels
//! S = I + Q G P^T,   T' = T S,   B' = S^T (B + G U),   G' = S^T G S     the inputs (no later layer: not computed)
//! ```
//!
//! and the loss is `1/2 sum_ij c_ij M_ij^2` of the last `M`.

use super::matrix::{
    add_product, identity, one_and_product, plain, product, symmetric_part, transposed,
};
use icl_numerics::lanes::{Lane16, Lanes};

/// The weights of a layer, the same in every lane.
pub(super) struct LayerWeights {
    /// `Q`.
    pub(super) q: Vec<Lane16>,
    /// `P`; the last layer has none.
    pub(super) p: Vec<Lane16>,
}

/// What a layer reads and computes, all `[d, d]`.
struct LayerState {
    g: Vec<Lane16>,
    t: Vec<Lane16>,
    b: Vec<Lane16>,
    /// `Q B`.
    u: Vec<Lane16>,
    /// `Q G`.
    a: Vec<Lane16>,
    s: Vec<Lane16>,
    /// `B + G U`.
    e: Vec<Lane16>,
    /// `G S`.
    gs: Vec<Lane16>,
}

/// Gradients towards what a layer hands to the next, and room for those in between.
struct Gradients {
    t: Vec<Lane16>,
    b: Vec<Lane16>,
    g: Vec<Lane16>,
    u: Vec<Lane16>,
    e: Vec<Lane16>,
    s: Vec<Lane16>,
    a: Vec<Lane16>,
    spare: Vec<Lane16>,
}

/// Everything that a pass keeps.
pub(super) struct Scratch {
    d: usize,
    layers: Vec<LayerState>,
    /// The map from the task to its error.
    m: Vec<Lane16>,
    gradients: Gradients,
}

impl Scratch {
    pub(super) fn new(layers: usize, d: usize) -> Self {
        let zeros = || vec![Lane16::ZERO; d * d];
        let layer = |_| LayerState {
            g: zeros(),
            t: zeros(),
            b: zeros(),
            u: zeros(),
            a: zeros(),
            s: zeros(),
            e: zeros(),
            gs: zeros(),
        };
        let gradients = Gradients {
            t: zeros(),
            b: zeros(),
            g: zeros(),
            u: zeros(),
            e: zeros(),
            s: zeros(),
            a: zeros(),
            spare: zeros(),
        };
        Self { d, layers: (0..layers).map(layer).collect(), m: zeros(), gradients }
    }

    /// Second moments `G_ij = sd_i sd_j / N sum_n x_ni x_nj` of the demonstrations in `tokens` `[n_tokens, d + 1]`.
    #[inline(always)]
    pub(super) fn read<L: Lanes>(&mut self, l: L, tokens: &[Lane16], scales: &[f32]) {
        let d = self.d;
        let demos = &tokens[..tokens.len() - (d + 1)];
        let n = (demos.len() / (d + 1)) as f32;
        let g = &mut self.layers[0].g;
        for i in 0..d {
            for j in 0..=i {
                let mut sum = l.splat(0.0);
                for token in demos.chunks_exact(d + 1) {
                    sum = l.mul_add(l.load(&token[i]), l.load(&token[j]), sum);
                }
                let entry = l.store(l.mul(sum, l.splat(scales[i] * scales[j] / n)));
                (g[i * d + j], g[j * d + i]) = (entry, entry);
            }
        }
    }

    /// Computes `M`; returns `1/2 sum_ij c_ij M_ij^2` of every lane.
    #[inline(always)]
    pub(super) fn forward<L: Lanes>(&mut self, l: L, weights: &[LayerWeights], c: &[f32]) -> L::F {
        let d = self.d;
        let LayerState { g, t, b, .. } = &mut self.layers[0];
        identity(t, d);
        b.copy_from_slice(g);
        identity(&mut self.m, d);
        for (i, w) in weights.iter().enumerate() {
            let (own, next) = self.layers[i..].split_at_mut(1);
            let LayerState { g, t, b, u, a, s, e, gs } = &mut own[0];
            product(l, u, plain(&w.q, d), plain(b, d), d);
            add_product(l, &mut self.m, plain(t, d), plain(u, d), d);
            let Some(next) = next.first_mut() else { break };
            product(l, a, plain(&w.q, d), plain(g, d), d);
            one_and_product(l, s, plain(a, d), transposed(&w.p, d), d);
            e.copy_from_slice(b);
            add_product(l, e, plain(g, d), plain(u, d), d);
            product(l, gs, plain(g, d), plain(s, d), d);
            product(l, &mut next.t, plain(t, d), plain(s, d), d);
            product(l, &mut next.b, transposed(s, d), plain(e, d), d);
            product(l, &mut next.g, transposed(s, d), plain(gs, d), d);
        }
        let mut loss = l.splat(0.0);
        for (m, c) in self.m.iter().zip(c) {
            let m = l.load(m);
            loss = l.mul_add(l.mul(l.splat(0.5 * c), m), m, loss);
        }
        loss
    }

    /// Adds the gradient of `weight` times the loss to `sum`, packed like the parameters: `Q` of all layers, then `P`.
    #[inline(always)]
    pub(super) fn backward<L: Lanes>(
        &mut self,
        l: L,
        weights: &[LayerWeights],
        c: &[f32],
        weight: &Lane16,
        sum: &mut [Lane16],
    ) {
        let (d, last) = (self.d, weights.len() - 1);
        let weight = l.load(weight);
        // M reaches the loss through every later M unchanged: one gradient for all layers
        for (m, c) in self.m.iter_mut().zip(c) {
            *m = l.store(l.mul(l.mul(l.splat(*c), l.load(m)), weight));
        }
        let (sum_q, sum_p) = sum.split_at_mut(weights.len() * d * d);
        for (i, w) in weights.iter().enumerate().rev() {
            let own = &self.layers[i];
            let to = &mut self.gradients;
            let sum_q = &mut sum_q[i * d * d..][..d * d];
            product(l, &mut to.u, transposed(&own.t, d), plain(&self.m, d), d);
            if i < last {
                let sum_p = &mut sum_p[i * d * d..][..d * d];
                to.through_inputs(l, own, w, [sum_q, sum_p], d);
            } else {
                [&mut to.t, &mut to.b, &mut to.g].into_iter().for_each(|x| x.fill(Lane16::ZERO));
            }
            add_product(l, &mut to.t, plain(&self.m, d), transposed(&own.u, d), d);
            add_product(l, sum_q, plain(&to.u, d), transposed(&own.b, d), d);
            add_product(l, &mut to.b, transposed(&w.q, d), plain(&to.u, d), d);
        }
    }
}

impl Gradients {
    /// From the gradients towards `T'`, `B'`, `G'` to those towards `T`, `B`, `G`, `U`, `Q` and `P`, but for what passes
    /// through the labels.
    #[inline(always)]
    fn through_inputs<L: Lanes>(
        &mut self,
        l: L,
        own: &LayerState,
        w: &LayerWeights,
        [sum_q, sum_p]: [&mut [Lane16]; 2],
        d: usize,
    ) {
        let Self { t, b, g, u, e, s, a, spare } = self;
        product(l, e, plain(&own.s, d), plain(b, d), d);
        // towards S: from B', from T', from G'
        product(l, s, plain(&own.e, d), transposed(b, d), d);
        add_product(l, s, transposed(&own.t, d), plain(t, d), d);
        symmetric_part(l, spare, g, d);
        add_product(l, s, plain(&own.gs, d), plain(spare, d), d);
        // towards U
        add_product(l, u, transposed(&own.g, d), plain(e, d), d);
        // towards the weights
        product(l, a, plain(s, d), plain(&w.p, d), d);
        add_product(l, sum_p, transposed(s, d), plain(&own.a, d), d);
        add_product(l, sum_q, plain(a, d), transposed(&own.g, d), d);
        // towards T, B, G
        product(l, spare, plain(t, d), transposed(&own.s, d), d);
        std::mem::swap(t, spare);
        b.copy_from_slice(e);
        product(l, spare, plain(&own.s, d), plain(g, d), d);
        product(l, g, plain(spare, d), transposed(&own.s, d), d);
        add_product(l, g, plain(e, d), transposed(&own.u, d), d);
        add_product(l, g, transposed(&w.q, d), plain(a, d), d);
    }
}
