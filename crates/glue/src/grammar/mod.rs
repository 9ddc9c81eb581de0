//! A seeded grammar of English-like sentences, as a stand-in for text and tasks that cannot be shipped.
//!
//! A sentence says a [`Meaning`]: who does what to whom, how, where, or that nobody does. The same meaning has several
//! wordings, by synonyms and by the voice of the verb, and every sentence is read back to its one meaning.
//!
//! * [`lexicon`]: the words.
//! * [`meaning`], [`wording`], [`reading`]: meanings, from meanings to words, and back.
//! * [`text`]: documents for pre-training, sentences that say the same again.
//! * [`model`]: a small BERT over the words, and its folder.
//! * [`sets`]: four data sets with the questions of GLUE's tasks, in the format of GLUE's files.
//!
//! The sets are a stand-in for GLUE, not GLUE: scores on them say that a model and its training work, nothing about
//! English. Rows of both classes hold the same words, so that the counts of words tell nothing.

pub mod lexicon;
pub mod meaning;
pub mod model;
pub mod reading;
pub mod sets;
pub mod text;
pub mod wording;

pub use meaning::Meaning;
pub use model::{LONGEST, Shape};
pub use sets::{Sizes, rows, tsv};
pub use text::documents;
