//! `icl list`: the items.

use crate::cli::ListArguments;
use crate::console::{print_wrapped, say};
use crate::costs::{Costs, calibration_ms};
use crate::host;
use crate::item::Item;
use crate::outcome::Outcome;
use crate::registry;
use crate::workspace::Workspace;
use serde_json::json;

/// Runs the command.
pub(crate) fn list(workspace: &Workspace, arguments: &ListArguments) -> anyhow::Result<Outcome> {
    let costs = Costs::read(workspace);
    let cores = host::jobs(None) as f64;
    let speed =
        if costs.calibration_ms > 0.0 { calibration_ms()? / costs.calibration_ms } else { 1.0 };
    let minutes = |id: &str| {
        costs.minutes(id, arguments.profile).map(|minutes| minutes * speed * 2.0 / cores)
    };
    if arguments.json {
        let entry = |item: &&Item| {
            let rounded = minutes(item.id).map(|m| (m * 100.0).round() / 100.0);
            json!({
                "id": item.id,
                "paper": item.paper,
                "claim": item.claim,
                "minutes": rounded,
            })
        };
        let entries: Vec<_> = registry::all(workspace).iter().map(entry).collect();
        say!("{:#}", serde_json::Value::Array(entries));
        return Ok(Outcome::Reproduced);
    }
    say!("{:<30} {:<26} {:>8}", "item", "paper", "minutes");
    for item in registry::all(workspace) {
        let minutes = minutes(item.id).map_or("?".into(), |minutes| format!("{minutes:.2}"));
        say!("{:<30} {:<26} {minutes:>8}", item.id, item.paper);
        print_wrapped(item.claim, 78);
    }
    say!("minutes: profile {}, this host, {cores} threads", arguments.profile.name());
    Ok(Outcome::Reproduced)
}
