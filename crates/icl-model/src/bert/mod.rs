//! BERT: a bidirectional encoder over word pieces, with the same attention and the same modifications as the layers
//! that learn in context.
//!
//! * [`config`], [`folder`], [`variables`]: pretrained models as their folders hold them.
//! * [`input`], [`embedding`], [`model`], [`classifier`]: from word pieces to hidden states and logits.
//! * `fused`: the same as one hand-written pass, forward and back, which is what runs on a CPU.
//! * [`example`], [`objective`], [`order`], [`dropout`], [`vocabulary`]: fine-tuning, as an [`Objective`](crate::objective::Objective).
//! * [`masking`], [`masked_words`]: pre-training, as another.

pub mod classifier;
pub mod config;
pub mod dropout;
pub mod embedding;
pub mod example;
pub mod folder;
mod fused;
pub mod input;
pub mod masked_words;
pub mod masking;
pub mod model;
pub mod objective;
pub mod order;
mod parts;
pub mod variables;
pub mod vocabulary;

pub use classifier::Classifier;
pub use config::BertConfig;
pub use example::{Example, Target};
pub use folder::{Loaded, Pretrained};
pub use input::{Batch, Sequence};
pub use masked_words::{MaskedWords, Text};
pub use masking::{Masked, Masking};
pub use model::Bert;
pub use objective::{Examples, FineTuning, Walk};
pub use variables::Head;
pub use vocabulary::Vocabulary;
