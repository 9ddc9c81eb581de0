//! The dual model of softmax attention, `f(x) = W phi(x)`, trained by gradient descent.
//!
//! Attention reading demonstrations `(k_i, v_i)` for a query `q` outputs `h' = (1/D) sum_j K(k_j, q) v_j`.
//! The dual model starts from the query side, `W_0 = (1/D) sum_t v_t phi(k_t)^T`, takes one gradient step
//! on `L(W) = -(1/(eta D)) sum_i v_i^T W phi(k_i)`, and predicts `f(q) = W_1 phi(q)`, which equals `h'`.
//! Paper: sections 2 to 4 of the specification.
//!
//! * [`dual`]: the exact dual, `W` as coefficients on `phi(k_i)` (representer form).
//! * [`feature_dual`]: the dual with an explicit `W` on finite features.
//! * [`feature_map`]: the maps `phi`, one file each.
//! * [`modification`]: the three modified losses.
//! * [`projection`]: keys, queries and values of many tokens.
//! * [`sequence`]: every token as query, several heads, masks.
//! * [`shared`]: one dual for all queries, and its streaming forms.
//! * [`transformer`]: duals of whole layers and stacks.
//! * [`gap`]: the generalisation gap, its theory and its bound.
//! * [`step_curve`]: the residual along the steps and its closed form over random orders.
//!
//! This crate takes keys, values and queries, never an attention layer, and does not depend on the
//! model crate: the equality is tested from outside, or it would be circular.

#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

pub mod dual;
mod error;
pub mod feature_dual;
pub mod feature_map;
mod feature_state;
pub mod gap;
mod matrix;
pub mod modification;
pub mod projection;
mod real;
pub mod sequence;
pub mod shared;
pub mod step_curve;
pub mod transformer;

pub use error::DualError;
pub use matrix::Matrix;
pub use real::Real;
