//! `icl list`: the items.

use super::Outcome;
use crate::cli::ListArguments;
use crate::clock;
use crate::console::say;
use crate::profile::Profile;
use crate::registry;
use crate::workspace::Workspace;
use icl_model::train::{TrainSettings, Trainer};
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use serde::{Deserialize, Serialize};
use serde_json::json;
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
        n_test: 16,
        test_every: 40,
        ..TrainSettings::base()
    };
    let once = || -> anyhow::Result<f64> {
        let mut trainer = Trainer::new(settings.clone(), Isa::detect())?;
        let start = clock::now();
        trainer.run()?;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| Ok(largest::least((0..5).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?)))
}

/// Runs the command.
pub(crate) fn list(workspace: &Workspace, arguments: &ListArguments) -> anyhow::Result<Outcome> {
    let costs = Costs::read(workspace);
    let cores = super::run::jobs(None) as f64;
    let speed =
        if costs.calibration_ms > 0.0 { calibration_ms()? / costs.calibration_ms } else { 1.0 };
    let minutes = |id: &str| {
        costs.minutes(id, arguments.profile).map(|minutes| minutes * speed * 2.0 / cores)
    };
    if arguments.json {
        let entry = |item: &&dyn registry::Item| {
            let rounded = minutes(item.id()).map(|m| (m * 100.0).round() / 100.0);
            json!({
                "id": item.id(),
                "paper": item.paper(),
                "claim": item.claim(),
                "minutes": rounded,
            })
        };
        let entries: Vec<_> = registry::all(workspace).iter().map(entry).collect();
        say!("{:#}", serde_json::Value::Array(entries));
        return Ok(Outcome::Reproduced);
    }
    say!("{:<30} {:<26} {:>8}", "item", "paper", "minutes");
    for item in registry::all(workspace) {
        let minutes = minutes(item.id()).map_or("?".into(), |minutes| format!("{minutes:.2}"));
        say!("{:<30} {:<26} {minutes:>8}", item.id(), item.paper());
        print_wrapped(item.claim(), 78);
    }
    say!("minutes: profile {}, this host, {cores} threads", arguments.profile.name());
    Ok(Outcome::Reproduced)
}

/// Prints a text indented by two spaces, in lines of at most `width` characters.
pub(crate) fn print_wrapped(text: &str, width: usize) {
    let mut line = String::from(" ");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > width {
            say!("{line}");
            line = String::from(" ");
        }
        line.push(' ');
        line.push_str(word);
    }
    say!("{line}");
}
