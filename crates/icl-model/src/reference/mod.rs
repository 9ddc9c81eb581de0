//! Attention and Transformer layers as candle operations: the reference for the fused kernels, and the side
//! that the duals are compared with. They have gradients and run on any candle device.
//!
//! * [`kernel_weights`](mod@kernel_weights): the weights of a block of queries over its keys.
//! * [`core`]: attention of given queries, keys and values, with mask, kernel and modification.
//! * [`layer`]: the figures' layer, heads summed; [`multi_head`]: PyTorch's, heads side by side.
//! * [`transformer`]: whole layers and stacks.

pub mod core;
pub mod kernel_weights;
pub mod layer;
pub mod multi_head;
pub mod transformer;

pub use core::{Attended, Core, Demonstrations, Projected};
pub use kernel_weights::kernel_weights;
pub use layer::Layer;
pub use multi_head::MultiHead;
pub use transformer::TransformerLayer;
