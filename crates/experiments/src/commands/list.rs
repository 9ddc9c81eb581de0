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
    say!("{:<30} {:<40} {:>8}", "item", "paper", "minutes");
    for item in registry::all(workspace) {
        let minutes = minutes(item.id).map_or("?".into(), |minutes| match minutes {
            few if few < 0.05 => "< 0.1".to_owned(),
            minutes => format!("{minutes:.1}"),
        });
        say!("{:<30} {:<40} {minutes:>8}", item.id, cut(item.paper, 40));
        if arguments.verbose {
            print_wrapped(item.claim, 78);
        }
    }
    say!("minutes: profile {}, this host, {cores} threads", arguments.profile.name());
    if !arguments.verbose {
        say!("`icl list -v` says what each claims, `icl show ITEM` all about one");
    }
    Ok(Outcome::Reproduced)
}

/// A text in at most `width` characters.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_texts_are_cut_and_short_ones_are_not() {
        assert_eq!(cut("φ(x)", 4), "φ(x)");
        assert_eq!(cut("φ(x) and", 5), "φ(x)…");
    }
}
