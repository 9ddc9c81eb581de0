//! Where a head's variables lie in the packed parameters, and what is computed from them once per step.

use super::augmentation::{Map, MapGradient};
use crate::ModelError;
use crate::attention::{Augmentation, Form, Parameters, Terms};
use icl_numerics::lanes::Lane16;
use std::ops::Range;

/// Where the variables of one layer's attention lie in the packed parameters.
#[derive(Debug, Clone)]
pub(super) struct Offsets {
    w_q: Range<usize>,
    w_k: Range<usize>,
    w_v: Range<usize>,
    keys: Option<[Range<usize>; 2]>,
    values: Option<[Range<usize>; 2]>,
}

/// The place of a variable.
pub(super) fn place(parameters: &Parameters, name: &str) -> Result<Range<usize>, ModelError> {
    parameters.range(name).ok_or_else(|| {
        ModelError::setting("parameters", format!("no `{name}`"), "the layer's variables")
    })
}

impl Offsets {
    /// The offsets of the variables whose names begin with `prefix`.
    pub(super) fn new(
        parameters: &Parameters,
        prefix: &str,
        modification: &Terms,
    ) -> Result<Self, ModelError> {
        let range = |name: &str| place(parameters, &format!("{prefix}{name}"));
        let map = |form: Form, side: &str| match form {
            Form::Mlp { .. } => {
                Ok(Some([range(&format!("{side}.v"))?, range(&format!("{side}.u"))?]))
            }
            _ => Ok::<_, ModelError>(None),
        };
        Ok(Self {
            w_q: range("w_q")?,
            w_k: range("w_k")?,
            w_v: range("w_v")?,
            keys: map(modification.keys.form, "g_keys")?,
            values: map(modification.values.form, "g_values")?,
        })
    }

    /// The gradients of `g2`'s `V` and `U`.
    #[inline(always)]
    pub(super) fn keys_gradient<'g>(&self, gradient: &'g mut [Lane16]) -> MapGradient<'g> {
        map_gradient(gradient, self.keys.as_ref())
    }

    /// The gradients of `g1`'s `V` and `U`.
    #[inline(always)]
    pub(super) fn values_gradient<'g>(&self, gradient: &'g mut [Lane16]) -> MapGradient<'g> {
        map_gradient(gradient, self.values.as_ref())
    }
}

/// The gradients of `V` and `U`, which lie one after the other.
#[inline(always)]
fn map_gradient<'g>(
    gradient: &'g mut [Lane16],
    offsets: Option<&[Range<usize>; 2]>,
) -> MapGradient<'g> {
    let [v, u] = offsets?;
    let (head, tail) = gradient.split_at_mut(u.start);
    Some((&mut head[v.clone()], &mut tail[..u.len()]))
}

/// The weights of one head and what is computed from them once per step.
pub(super) struct HeadWeights<'a> {
    pub(super) w_q: &'a [f32],
    pub(super) w_k: &'a [f32],
    pub(super) w_v: &'a [f32],
    pub(super) keys: Map<'a>,
    pub(super) values: Map<'a>,
    /// `W_Q^T W_K / sqrt(d)`, only for negatives.
    pub(super) similarity: Vec<f32>,
    /// `d^(-1/4)`.
    pub(super) scale: f32,
    /// Place of this head's `W` in the packed gradient.
    pub(super) q_range: Range<usize>,
    pub(super) k_range: Range<usize>,
    pub(super) v_range: Range<usize>,
}

impl<'a> HeadWeights<'a> {
    pub(super) fn new(
        offsets: &Offsets,
        modification: &Terms,
        d: usize,
        parameters: &'a [f32],
        head: usize,
    ) -> Self {
        let place = |whole: &Range<usize>| {
            let start = whole.start + head * d * d;
            start..start + d * d
        };
        let [q_range, k_range, v_range] = [&offsets.w_q, &offsets.w_k, &offsets.w_v].map(place);
        let map = |g: Augmentation, offsets: &Option<[Range<usize>; 2]>| match offsets {
            Some([v, u]) => Map { g, v: &parameters[v.clone()], u: &parameters[u.clone()] },
            None => Map { g, v: &[], u: &[] },
        };
        let (w_q, w_k) = (&parameters[q_range.clone()], &parameters[k_range.clone()]);
        let similarity = match modification.negatives {
            Some(_) => similarity(w_q, w_k, d),
            None => Vec::new(),
        };
        Self {
            w_q,
            w_k,
            w_v: &parameters[v_range.clone()],
            keys: map(modification.keys, &offsets.keys),
            values: map(modification.values, &offsets.values),
            similarity,
            scale: (1.0 / (d as f64).sqrt().sqrt()) as f32,
            q_range,
            k_range,
            v_range,
        }
    }
}

/// `(W_Q^T W_K)_ij / sqrt(d)`, summed in `f64` in index order.
fn similarity(w_q: &[f32], w_k: &[f32], d: usize) -> Vec<f32> {
    let entry = |ij: usize| {
        let term = |a: usize| f64::from(w_q[a * d + ij / d]) * f64::from(w_k[a * d + ij % d]);
        ((0..d).map(term).sum::<f64>() / (d as f64).sqrt()) as f32
    };
    (0..d * d).map(entry).collect()
}
