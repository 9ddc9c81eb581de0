//! The three sizes of a run.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Size of a run; the code path is the same for all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// Every item, tiny: at most 20 s on 2 cores.
    Smoke,
    /// The shape of every result: at most 3 min on 2 cores.
    Quick,
    /// Full settings, 10 seeds: at most 30 min on 2 cores.
    Paper,
}

impl Profile {
    /// Name on the command line and of folders.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
        }
    }

    /// All profiles.
    pub(crate) const ALL: [Self; 3] = [Self::Smoke, Self::Quick, Self::Paper];
}
