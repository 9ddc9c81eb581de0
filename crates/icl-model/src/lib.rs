//! In-context learning tasks, softmax attention and its modifications, and their training.
//!
//! * [`task`], [`prompt`]: what is learned in context, and prompts sampled from named streams.
//! * [`attention`]: the modifications behind one trait and one registry, and a layer's parameters.
//! * [`composite`]: the layer as candle operations, the reference.
//! * [`fused`]: the same layer as one hand-written pass over sixteen prompts at a time, the fast path.
//! * [`multi_head`], [`transformer`]: attention over a user's weights, whole layers and stacks (candle).
//! * [`adam`], [`train`], [`weights`]: optimiser, training loop, safetensors.
//!
//! Paper: sections 1, 4 and 7 of the project's specification (ARTIFACT.md says where each setting
//! comes from). The crate knows nothing of the dual model.

#![allow(clippy::inline_always, reason = "a call that is not inlined loses the instruction set")]

pub mod adam;
pub mod attention;
pub mod composite;
mod error;
pub mod fused;
pub mod mask;
pub mod multi_head;
pub mod prompt;
pub mod task;
pub mod train;
pub mod transformer;
pub mod transformer_train;
pub mod weights;

pub use error::ModelError;
