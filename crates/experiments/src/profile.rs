//! The sizes of a run.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Size of a run; the code path is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// Every item, tiny: at most 25 s on 2 cores.
    Smoke,
    /// The shape of every result: at most 3 min on 2 cores.
    Quick,
    /// Full settings, 10 seeds: at most 35 min on 2 cores, and 10 more for Table 1.
    Paper,
    /// The whole grids of the items that read data and models of others: days.
    Table,
}

impl Profile {
    /// Name on the command line and of folders.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Paper => "paper",
            Self::Table => "table",
        }
    }

    /// All profiles.
    pub(crate) const ALL: [Self; 4] = [Self::Smoke, Self::Quick, Self::Paper, Self::Table];

    /// Those whose outputs are expected.
    pub(crate) const EXPECTED: [Self; 3] = [Self::Smoke, Self::Quick, Self::Paper];

    /// Those of an item that does not say of which it is.
    pub(crate) const USUAL: [Self; 3] = Self::EXPECTED;

    /// Whether a run is complete without the items whose inputs are absent: they have a stand-in there.
    pub(crate) fn is_complete_without_inputs(self) -> bool {
        matches!(self, Self::Smoke | Self::Quick)
    }
}
