//! Attention and Transformer layers as candle operations: the reference for the fused kernels, and the side
//! that the duals are compared with. They have gradients and run on any candle device.
//!
//! * [`kernel_rows`]: what a block of queries sees of its keys.
//! * [`core`]: attention of given queries, keys and values, with mask, kernel and modification.
//! * [`layer`]: the paper's layer, heads summed; [`multi_head`]: PyTorch's, heads side by side.
//! * [`transformer`]: whole layers and stacks.

pub mod core;
pub mod kernel_rows;
pub mod layer;
pub mod multi_head;
pub mod transformer;

pub use core::{Attended, Core, Projected};
pub use kernel_rows::KernelRows;
pub use layer::Layer;
pub use multi_head::MultiHead;
pub use transformer::TransformerLayer;
