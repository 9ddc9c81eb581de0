//! GLUE's four tasks of the paper's table: data as it comes from its providers, word pieces of a model's own
//! tokenizer, and scores.
//!
//! * [`task`]: the tasks, their splits and columns.
//! * [`data`]: sentences and labels from files, with digests; text is taken as it stands.
//! * [`tokens`]: word pieces, with truncation and padding set by us.
//! * [`model`], [`tuning`]: a pretrained model with a head for a task, its predictions, its fine-tuning.
//! * [`pretraining`]: a small model of one's own, from sentences.
//! * [`floor`]: predictors without a network, which a model has to beat.
//! * [`metric`]: scores with the conventions of scikit-learn and scipy.
//! * [`grammar`]: a seeded stand-in for text and tasks, where GLUE itself is not at hand.

pub mod data;
mod error;
pub mod floor;
pub mod grammar;
pub mod metric;
pub mod model;
pub mod pretraining;
pub mod task;
pub mod tokens;
pub mod tuning;

pub use data::{Data, Row};
pub use error::GlueError;
pub use floor::Floor;
pub use metric::Score;
pub use model::{Model, ModelSettings, Predictions};
pub use pretraining::{PretrainSettings, Pretraining, pretrain};
pub use task::{Split, Task};
pub use tokens::WordPieces;
pub use tuning::{TuneSettings, Tuned, tune};
