//! Classes of numbers: what is promised of their bits.

use serde::{Deserialize, Serialize};

/// What is promised of the bits of a number, by where it was computed. Of several, the later promises less.
///
/// Only [`Class::Exact`] is compared by bits. An output of any other class is held against the expected one
/// by its columns' tolerances, and is not called equal by bits even where the bits agree: they did so this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Class {
    /// The same bits on every CPU and for every number of threads.
    Exact,
    /// Computed by a CUDA device, whose sums have another order.
    Cuda,
}

impl Class {
    /// Lower-case word, as in the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Cuda => "cuda",
        }
    }

    /// Whether equal settings give equal bits wherever they are computed.
    pub fn promises_bits(self) -> bool {
        self == Self::Exact
    }

    /// The class of what follows from all of them: exact only if each one is.
    pub fn of_all(classes: impl IntoIterator<Item = Self>) -> Self {
        classes.into_iter().max().unwrap_or(Self::Exact)
    }
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn words_are_those_of_the_manifest_and_what_follows_from_a_device_is_not_exact() {
        for class in [Class::Exact, Class::Cuda] {
            assert_eq!(serde_json::to_value(class).unwrap(), class.word());
        }
        assert_eq!(Class::of_all([Class::Exact, Class::Cuda, Class::Exact]), Class::Cuda);
        assert!(Class::of_all([]).promises_bits() && !Class::Cuda.promises_bits());
    }
}
