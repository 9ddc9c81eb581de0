//! The dual model of softmax attention, `f(x) = W phi(x)`, trained by gradient descent.
//!
//! Attention reading demonstrations `(k_i, v_i)` for a query `q` outputs `h' = (1/D) sum_j K(k_j, q) v_j`.
//! The dual model starts from the query side, `W_0 = (1/D) sum_t v_t phi(k_t)^T`, takes one gradient step
//! on `L(W) = -(1/(eta D)) sum_i v_i^T W phi(k_i)`, and predicts `f(q) = W_1 phi(q)`, which equals `h'`.
//!
//! ```
//! use dual_model::dual::{KeyValue, predict_after_training};
//!
//! let demonstrations = [
//!     KeyValue { key: &[0.3, -0.2], value: &[1.0] },
//!     KeyValue { key: &[0.1, 0.4], value: &[-2.0] },
//! ];
//! let query_side = [KeyValue { key: &[0.5, 0.0], value: &[0.25] }];
//! let q = [1.5, -1.0];
//! // softmax attention: logits .65, -.25 and .75
//! let [a, b, t] = [0.65_f64.exp(), (-0.25_f64).exp(), 0.75_f64.exp()];
//! let attention = (a * 1.0 - b * 2.0 + t * 0.25) / (a + b + t);
//! // the dual: one gradient step on each demonstration, here the second one first
//! let prediction = predict_after_training(&demonstrations, &query_side, &q, [1, 0])?;
//! assert!((prediction[0] - attention).abs() < 1e-15);
//! # Ok::<(), dual_model::DualError>(())
//! ```
//!
//! * [`dual`]: the exact dual, `W` as coefficients on `phi(k_i)` (representer form).
//! * [`feature_dual`]: the dual with an explicit `W` on finite features.
//! * [`feature_map`]: the maps `phi` behind one trait and one registry, one file each.
//! * [`contrastive`]: the same model under a loss with negatives.
//! * [`feature_error`]: errors of attention by random features; [`balance`]: other projections with the same scores.
//! * [`modification`]: the three modified losses.
//! * [`head`]: keys, queries and values of one head, and their scale; [`projection`]: the same by blocks.
//! * [`sequence`]: every token as query, several heads, masks.
//! * [`shared`]: one dual for all queries, and its streaming forms.
//! * [`transformer`]: duals of whole layers and stacks.
//! * [`gap`]: the generalisation gap, its theory and its bound.
//! * [`floor`]: the lowest loss of one or two heads on linear regression in context.
//! * [`step_curve`]: the residual along the steps and its closed form over random orders.
//!
//! The mathematics, with proofs, is in `docs/theory.md`. This crate takes keys, values and queries, or
//! matrices that project to them, never an attention layer, and does not depend on the model crate: the
//! equality is tested from outside, or it would be circular.

#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

pub mod balance;
pub mod contrastive;
pub mod dual;
mod error;

pub mod feature_dual;
pub mod feature_error;
pub mod feature_map;
pub mod floor;
pub mod gap;
pub mod head;
mod matrix;
pub mod modification;
pub mod projection;
mod real;
pub mod sequence;
pub mod shared;
mod shared_feature;
pub mod step_curve;
pub mod transformer;

pub use error::DualError;
pub use matrix::Matrix;
pub use real::Real;
