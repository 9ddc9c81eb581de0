//! `g(x) = x + c U gelu(V x)` and `g(x) = x + c tanh(x)` of all demonstrations, with their gradients.

use super::linear::{add_outers, add_product, product, product_transposed};
use crate::attention::{Augmentation, Form};
use icl_numerics::elementary::{tanh, tanh_gelu};
use icl_numerics::lanes::{Lane16, Lanes};

/// `g` with its weights (empty slices where it has none).
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    pub(super) g: Augmentation,
    pub(super) v: &'a [f32],
    pub(super) u: &'a [f32],
}

/// What the backward pass reads again.
#[derive(Default)]
pub(super) struct MapScratch {
    /// `[N, d]`, the arguments.
    x: Vec<Lane16>,
    /// `[N, hidden]`: gelu; `[N, d]`: tanh.
    active: Vec<Lane16>,
    /// `[N, hidden]`: derivative of gelu, then the gradient towards `V x`.
    slope: Vec<Lane16>,
    /// `[hidden]`.
    d_active: Vec<Lane16>,
    /// `[d]`.
    d_x: Vec<Lane16>,
}

impl MapScratch {
    pub(super) fn new(g: Augmentation, n: usize, d: usize) -> Self {
        let zeros = |k: usize| vec![Lane16::ZERO; k];
        match g.form {
            Form::Identity => Self::default(),
            Form::Elementwise => Self { active: zeros(n * d), ..Self::default() },
            Form::Mlp { hidden } => Self {
                x: zeros(n * d),
                active: zeros(n * hidden),
                slope: zeros(n * hidden),
                d_active: zeros(hidden),
                d_x: zeros(d),
            },
        }
    }
}

/// Replaces every row of `x` `[N, d]` by `g(x)`.
#[inline(always)]
pub(super) fn forward<L: Lanes>(
    l: L,
    map: Map<'_>,
    scratch: &mut MapScratch,
    x: &mut [Lane16],
    d: usize,
) {
    match map.g.form {
        Form::Identity => {}
        Form::Elementwise => {
            let c = l.splat(map.g.scale);
            for (x, active) in x.iter_mut().zip(&mut scratch.active) {
                let value = l.load(x);
                let t = tanh(l, value);
                *active = l.store(t);
                *x = l.store(l.mul_add(c, t, value));
            }
        }
        Form::Mlp { hidden } => {
            scratch.x.copy_from_slice(x);
            let rows = scratch.active.chunks_exact_mut(hidden);
            let rows = rows.zip(scratch.slope.chunks_exact_mut(hidden));
            for (x, (active, slope)) in x.chunks_exact_mut(d).zip(rows) {
                product(l, active, 1.0, map.v, x);
                for (active, slope) in active.iter_mut().zip(slope) {
                    let (value, derivative) = tanh_gelu(l, l.load(active));
                    (*active, *slope) = (l.store(value), l.store(derivative));
                }
                add_product(l, x, map.g.scale, map.u, active);
            }
        }
    }
}

/// Gradients of the map's weights, `[hidden, d]` and `[d, hidden]`.
pub(super) type MapGradient<'a> = Option<(&'a mut [Lane16], &'a mut [Lane16])>;

/// Replaces `dx` `[N, d]`, the gradient towards `g(x)`, by the gradient towards `x` and adds the
/// gradients of the weights.
#[inline(always)]
pub(super) fn backward<L: Lanes>(
    l: L,
    map: Map<'_>,
    scratch: &mut MapScratch,
    dx: &mut [Lane16],
    d: usize,
    gradient: MapGradient<'_>,
) {
    match map.g.form {
        Form::Identity => {}
        Form::Elementwise => {
            let (one, c) = (l.splat(1.0), l.splat(map.g.scale));
            for (dx, t) in dx.iter_mut().zip(&scratch.active) {
                let t = l.load(t);
                let slope = l.mul(c, l.sub(one, l.mul(t, t)));
                *dx = l.store(l.mul_add(l.load(dx), slope, l.load(dx)));
            }
        }
        Form::Mlp { hidden } => {
            let Some((g_v, g_u)) = gradient else { return };
            add_outers(l, g_u, map.g.scale, dx, &scratch.active, [d, hidden]);
            for (dx, slope) in dx.chunks_exact(d).zip(scratch.slope.chunks_exact_mut(hidden)) {
                product_transposed(l, &mut scratch.d_active, map.g.scale, map.u, dx);
                for (slope, d_active) in slope.iter_mut().zip(&scratch.d_active) {
                    *slope = l.store(l.mul(l.load(d_active), l.load(slope)));
                }
            }
            add_outers(l, g_v, 1.0, &scratch.slope, &scratch.x, [hidden, d]);
            for (dx, d_hidden) in dx.chunks_exact_mut(d).zip(scratch.slope.chunks_exact(hidden)) {
                product_transposed(l, &mut scratch.d_x, 1.0, map.v, d_hidden);
                for (dx, more) in dx.iter_mut().zip(&scratch.d_x) {
                    *dx = l.store(l.add(l.load(dx), l.load(more)));
                }
            }
        }
    }
}
