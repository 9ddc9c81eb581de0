//! Measured costs of the items, and the speed of this host in their unit.

use crate::clock;
use crate::profile::Profile;
use crate::workspace::Workspace;
use icl_model::machine::Machine;
use icl_model::settings::TrainSettings;
use icl_model::trainer::Unkept;
use icl_model::training::LayerTraining;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::threads::Threads;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where measured costs stand; `icl bless` renews them.
pub(crate) const COSTS: &str = "experiments/costs.json";

/// Measured seconds, and how fast the host was that measured them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Costs {
    /// Milliseconds of the calibration on that host.
    pub(crate) calibration_ms: f64,
    /// Item, profile, seconds on two threads.
    pub(crate) items: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Costs {
    /// The recorded costs; none if the file is missing or damaged.
    pub(crate) fn read(workspace: &Workspace) -> Self {
        let bytes = std::fs::read(workspace.path(COSTS)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Recorded minutes of an item.
    pub(crate) fn minutes(&self, id: &str, profile: Profile) -> Option<f64> {
        self.items.get(id)?.get(profile.name()).map(|seconds| seconds / 60.0)
    }
}

/// Milliseconds of a fixed small training run on one thread: the unit of this host's speed.
pub(crate) fn calibration_ms() -> anyhow::Result<f64> {
    let settings = TrainSettings {
        steps: 40,
        batch: 512,
        n_validation: 16,
        validate_every: 40,
        ..TrainSettings::base()
    };
    let machine = Machine::cpu(Isa::detect(), Threads::One);
    let once = || -> anyhow::Result<f64> {
        let layer = LayerTraining::new(settings.clone(), &machine)?;
        let start = clock::now();
        layer.trainer().run(&Unkept)?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    Ok(largest::least((0..5).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?))
}
