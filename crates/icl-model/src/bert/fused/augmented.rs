//! `g(s x) / s` of the demonstrations' keys or values, head by head, with its gradients: `g` acts on keys that carry
//! the factor `s = d_h^(-1/4)`, as queries do, and on values as they are.
//!
//! The variables are those of [`augmented`](crate::attention), one pair for all heads of a layer: rows of heads lie one
//! after another, so `[tokens, d]` is `[tokens heads, d_h]`.

use super::buffer::Buffer;
use super::matrix::{Matrix, Run};
use super::scale;
use crate::attention::{Augmentation, Form, Parameters};
use icl_numerics::elementary::Function;
use std::ops::Range;

/// `g` on one side of a layer, and where its variables stand.
#[derive(Debug, Clone)]
pub(super) struct Augment {
    g: Augmentation,
    /// `s`.
    factor: f32,
    /// `V` and `U`, empty where the form has none.
    v: Range<usize>,
    u: Range<usize>,
    /// Size of a head.
    size: usize,
}

/// What the way back needs, and `g(s x) / s`.
pub(super) struct Augmented {
    pub(super) output: Matrix,
    /// `s x`.
    x: Buffer,
    /// `V s x`, where there is one.
    inner: Matrix,
    /// `gelu(V s x)` or `tanh(s x)`.
    active: Matrix,
}

impl Augment {
    /// `g` with the variables that start with `prefix`; none where it is the identity.
    pub(super) fn new(
        (g, factor): (Augmentation, f32),
        prefix: &str,
        size: usize,
        layout: &Parameters,
    ) -> Option<Self> {
        if g.form == Form::Identity || g.scale == 0.0 {
            return None;
        }
        let own = |name: &str| layout.range(&format!("{prefix}.{name}")).unwrap_or_default();
        Some(Self { g, factor, v: own("v"), u: own("u"), size })
    }

    /// `g(s x) / s`.
    pub(super) fn forward(&self, run: &Run<'_>, x: &Matrix) -> Augmented {
        let mut output = Matrix::new(run.pool.copy(&x.entries), x.columns);
        let mut x = run.pool.copy(&x.entries);
        x.iter_mut().for_each(|x| *x *= self.factor);
        let c = self.g.scale / self.factor;
        let (inner, active) = if self.has_variables() {
            let inner = run.multiply(&self.v, &x, self.size);
            let mut active = inner.clone();
            Function::TanhGelu.map(run.isa, &mut active.entries);
            let more = run.multiply(&self.u, &active.entries, active.columns);
            output.entries.iter_mut().zip(&more.entries[..]).for_each(|(y, more)| *y += c * more);
            (inner, active)
        } else {
            let mut active = Matrix::new(x.clone(), self.size);
            Function::Tanh.map(run.isa, &mut active.entries);
            output.entries.iter_mut().zip(&active.entries[..]).for_each(|(y, t)| *y += c * t);
            (Matrix::new(run.pool.take(0), self.size), active)
        };
        Augmented { output, x, inner, active }
    }

    /// The gradient of `x` from that of `g(s x) / s`; those of the variables are put into `gradient`.
    pub(super) fn backward(
        &self,
        run: &Run<'_>,
        stored: Augmented,
        mut g: Matrix,
        gradient: &mut [f32],
    ) -> Matrix {
        let c = self.g.scale;
        let Augmented { x, mut inner, active, .. } = stored;
        if !self.has_variables() {
            let slopes = g.entries.iter_mut().zip(&active.entries[..]);
            slopes.for_each(|(g, t)| *g *= 1.0 + c * (1.0 - t * t));
            return g;
        }
        let mut scaled = run.pool.copy(&g.entries);
        scaled.iter_mut().for_each(|g| *g *= c / self.factor);
        let active = (&active.entries[..], active.columns);
        let mut of_inner = run.multiply_gradient(&self.u, active, &scaled, gradient);
        Function::TanhGeluSlope.map(run.isa, &mut inner.entries);
        scale(&mut of_inner.entries, &inner.entries);
        let more = run.multiply_gradient(&self.v, (&x, self.size), &of_inner.entries, gradient);
        let more = more.entries.iter().map(|g| g * self.factor);
        g.entries.iter_mut().zip(more).for_each(|(g, more)| *g += more);
        g
    }

    fn has_variables(&self) -> bool {
        !self.v.is_empty()
    }
}
