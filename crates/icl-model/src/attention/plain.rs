//! Plain softmax attention.

use super::{Entry, Modification, Terms};

/// Registry entry.
pub(super) const ENTRY: Entry = Entry {
    id: "plain",
    equation: "h' = (1/D) sum_j K(k_j, q) v_j",
    neutral: "",
    examples: &[""],
    build: |_| Ok(Box::new(Plain)),
};

#[derive(Debug)]
struct Plain;

impl Modification for Plain {
    fn terms(&self) -> Option<Terms> {
        Some(Terms::PLAIN)
    }
}
