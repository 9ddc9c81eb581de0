//! One file per item. A new item is one file here, one TOML in `experiments/`, one line in the registry.

pub(crate) mod fig3_linear;
