//! `icl show`: an item's settings with provenance, its cells and outputs.

use crate::cli::ShowArguments;
use crate::console::{print_wrapped, say};
use crate::item::Context;
use crate::outcome::Outcome;
use crate::plan::plan_item;
use crate::record::SOURCE_DIGEST;
use crate::registry;
use crate::workspace::Workspace;
use artifact::digest::short;
use artifact::manifest::Manifest;
use icl_model::device::Device;

/// Runs the command.
pub(crate) fn show(
    workspace: &Workspace,
    arguments: &ShowArguments,
    device: Device,
) -> anyhow::Result<Outcome> {
    let item = registry::find(workspace, &arguments.id)?;
    let profile = arguments.profile;
    let (plan, file) = plan_item(workspace, item, Context { profile, device })?;
    say!("{} ({})", item.id, item.paper);
    print_wrapped(item.claim, 78);
    say!(
        "\nsettings, profile {} (A abstract, C caption, D derived, R recollection, O ours)",
        profile.name()
    );
    for (name, entry) in &file.entries {
        let value = entry.at(profile).map(ToString::to_string).unwrap_or_default();
        say!("  {name} = {value} [{:?}]", entry.tag);
        print_wrapped(&format!("  {}", entry.reason), 78);
        if let Some(effect) = &entry.effect {
            print_wrapped(&format!("  otherwise: {effect}"), 78);
        }
    }
    say!("\n{} cells", plan.cells.len());
    for cell in &plan.cells {
        say!("  {} {}", short(&cell.key(SOURCE_DIGEST)), cell.name);
    }
    say!("\nexpected outputs");
    let expected = workspace.expected(profile);
    match Manifest::read(&expected.figures).ok().and_then(|m| m.items.get(item.id).cloned()) {
        Some(entry) => {
            for (path, digest) in entry.files() {
                say!("  {} {path}", short(digest));
            }
        }
        None => say!("  none; `icl bless {} --reason TEXT` records them", item.id),
    }
    Ok(Outcome::Reproduced)
}
