//! Training runs of attention layers and of stacks as CUDA blocks: one block trains one run from its start to its end,
//! all runs of a launch at once.
//!
//! The fused processor kernel (`icl_model::fused`) is a fixed sequence of IEEE operations per lane, with sums per chunk
//! in order and the lanes last. `kernels/` holds the same sequence in the common part of C and CUDA: a thread takes a
//! prompt (a lane), threads then share the rows of the weight gradients, and blocks are runs. Sampling, both passes,
//! Adam and validation losses happen inside; nothing returns to the host between steps. So a run has the bits that the
//! processor gives it, and results keep the class `exact`.
//!
//! That is shown without a GPU: the text is also compiled by the host's C compiler ([`Emulation`]), and the tests
//! compare its bits with the processor kernel's. With the feature `cuda` the same text becomes PTX, which the library
//! embeds and `Gpu` launches through candle's device.
//!
//! | covered | left to other paths |
//! |---|---|
//! | one attention layer; softmax with and without the query, linear, positive features | BERT |
//! | stacks of Transformer layers with exact softmax, stacks of linear attention | |
//! | every modification made of the known [`Terms`](icl_model::attention::Terms) | modifications that are candle operations only |
//! | every task, input, map and label of [`TrainSettings`](icl_model::settings::TrainSettings), pools | prompts from elsewhere |

mod batch;
mod covered;
#[cfg(feature = "cuda")]
mod device;
mod emulation;
mod error;
mod host;
mod record;
mod runs;

pub use batch::{Batch, Launch};
pub use covered::Covered;
#[cfg(feature = "cuda")]
pub use device::{Card, Gpu};
pub use emulation::{Emulation, Variant};
pub use error::CudaError;
pub use runs::{test_losses, train};
