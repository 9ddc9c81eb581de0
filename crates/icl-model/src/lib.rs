//! In-context learning tasks, softmax attention and its modifications, and their training.
//!
//! * [`task`], [`prompt`]: what is learned in context, and prompts sampled from named streams.
//! * [`attention`], [`kernel`], [`mask`]: the modifications behind one trait and one registry, a layer's
//!   parameters, the kernels, and who sees whom.
//! * [`ops`]: candle operations whose bits do not depend on the CPU.
//! * [`mod@reference`]: layers made of them, for heads that are summed and heads side by side.
//! * [`fused`]: the figures' layer and stack as one hand-written pass over sixteen prompts at a time, the fast path.
//! * [`linear_stack`]: layers of linear attention on linear regression, and their training.
//! * [`objective`], [`model`]: what is minimised, and the four implementations.
//! * [`settings`], [`training`], [`trainer`], [`adam`], [`checkpoint`]: a run from its settings to its files.
//! * [`device`], [`machine`]: where numbers are computed, and on how many threads.
//!
//! Theory: `docs/theory.md`, sections 1, 2, 7, 10 and 11; GAPS.md says where each setting comes from. The
//! crate knows nothing of the dual model.

#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

pub mod adam;
pub mod attention;
pub mod bert;
pub mod checkpoint;
pub mod device;
mod error;
pub mod fused;
pub mod kernel;
pub mod linear_stack;
pub mod machine;
pub mod mask;
pub mod model;
pub mod objective;
pub mod ops;
pub mod prompt;
pub mod reference;
pub mod settings;
pub mod task;
pub mod trainer;
pub mod training;

pub use error::ModelError;
