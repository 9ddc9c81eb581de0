//! `g(x) = x + c U gelu(V x)` and `g(x) = x + c tanh(x)` with their gradients.

use super::linear::{add_outer, dot_row, product_transposed};
use crate::attention::{Augmentation, Form};
use crate::composite::ops::GELU_SCALE;
use icl_numerics::elementary::tanh;
use icl_numerics::lanes::{Lane16, Lanes};

/// `g` with its weights (empty slices where it has none).
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) g: Augmentation,
    pub(super) v: &'a [f32],
    pub(super) u: &'a [f32],
}

/// What the backward pass reads again, for every demonstration.
#[derive(Default)]
pub(super) struct MapScratch {
    /// `[N, d]`, the argument.
    x: Vec<Lane16>,
    /// `[N, hidden]`: gelu; `[N, d]`: tanh.
    active: Vec<Lane16>,
    /// `[N, hidden]`: derivative of gelu.
    slope: Vec<Lane16>,
    d_hidden: Vec<Lane16>,
    d_x: Vec<Lane16>,
}

impl MapScratch {
    pub(super) fn new(g: Augmentation, n: usize, d: usize) -> Self {
        let zeros = |k: usize| vec![Lane16::ZERO; k];
        match g.form {
            Form::Identity => Self::default(),
            Form::Elementwise => Self { active: zeros(n * d), d_x: zeros(d), ..Self::default() },
            Form::Mlp { hidden } => Self {
                x: zeros(n * d),
                active: zeros(n * hidden),
                slope: zeros(n * hidden),
                d_hidden: zeros(hidden),
                d_x: zeros(d),
            },
        }
    }
}

/// Replaces `x` of demonstration `i` by `g(x)`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    map: Map<'_>,
    scratch: &mut MapScratch,
    i: usize,
    x: &mut [Lane16],
) {
    let c = l.splat(map.g.scale);
    let d = x.len();
    match map.g.form {
        Form::Identity => {}
        Form::Elementwise => {
            for (x, active) in x.iter_mut().zip(&mut scratch.active[i * d..]) {
                let value = l.load(x);
                let t = tanh(l, value);
                *active = l.store(t);
                *x = l.store(l.mul_add(c, t, value));
            }
        }
        Form::Mlp { hidden } => {
            scratch.x[i * d..(i + 1) * d].copy_from_slice(x);
            let active = &mut scratch.active[i * hidden..(i + 1) * hidden];
            let slope = &mut scratch.slope[i * hidden..(i + 1) * hidden];
            for (h, row) in map.v.chunks_exact(d).enumerate() {
                let (value, derivative) = gelu(l, dot_row(l, row, x));
                (active[h], slope[h]) = (l.store(value), l.store(derivative));
            }
            for (x, row) in x.iter_mut().zip(map.u.chunks_exact(hidden)) {
                *x = l.store(l.mul_add(c, dot_row(l, row, active), l.load(x)));
            }
        }
    }
}

/// Gradients of the map's weights, `[hidden, d]` and `[d, hidden]`.
pub(super) type MapGradient<'a> = Option<(&'a mut [Lane16], &'a mut [Lane16])>;

/// Replaces `dx`, the gradient towards `g(x)` of demonstration `i`, by the gradient towards `x` and
/// adds the gradients of the weights.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    map: Map<'_>,
    scratch: &mut MapScratch,
    i: usize,
    dx: &mut [Lane16],
    gradient: &mut MapGradient<'_>,
) {
    let d = dx.len();
    match map.g.form {
        Form::Identity => {}
        Form::Elementwise => {
            let (one, c) = (l.splat(1.0), l.splat(map.g.scale));
            for (dx, t) in dx.iter_mut().zip(&scratch.active[i * d..]) {
                let t = l.load(t);
                let slope = l.mul(c, l.sub(one, l.mul(t, t)));
                *dx = l.store(l.mul_add(l.load(dx), slope, l.load(dx)));
            }
        }
        Form::Mlp { hidden } => {
            let Some((g_v, g_u)) = gradient else { return };
            let active = &scratch.active[i * hidden..(i + 1) * hidden];
            let slope = &scratch.slope[i * hidden..(i + 1) * hidden];
            add_outer(l, g_u, map.g.scale, dx, active);
            product_transposed(l, &mut scratch.d_hidden, map.g.scale, map.u, dx);
            for (dh, slope) in scratch.d_hidden.iter_mut().zip(slope) {
                *dh = l.store(l.mul(l.load(dh), l.load(slope)));
            }
            add_outer(l, g_v, 1.0, &scratch.d_hidden, &scratch.x[i * d..(i + 1) * d]);
            product_transposed(l, &mut scratch.d_x, 1.0, map.v, &scratch.d_hidden);
            for (dx, more) in dx.iter_mut().zip(&scratch.d_x) {
                *dx = l.store(l.add(l.load(dx), l.load(more)));
            }
        }
    }
}

/// `gelu(x)` and its derivative, tanh form.
#[inline(always)]
fn gelu<L: Lanes>(l: L, x: L::F) -> (L::F, L::F) {
    let scale = l.splat(GELU_SCALE as f32);
    let (one, half) = (l.splat(1.0), l.splat(0.5));
    let square = l.mul(x, x);
    // inner = scale (x + 0.044715 x^3), inner' = scale (1 + 3 * 0.044715 x^2)
    let inner = l.mul(l.mul(scale, x), l.mul_add(l.splat(0.044_715), square, one));
    let inner_slope = l.mul(scale, l.mul_add(l.splat(0.134_145), square, one));
    let t = tanh(l, inner);
    let gate = l.mul_add(half, t, half);
    let bell = l.mul(half, l.sub(one, l.mul(t, t)));
    (l.mul(x, gate), l.mul_add(l.mul(x, bell), inner_slope, gate))
}
