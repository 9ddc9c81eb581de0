//! `icl show`: an item's settings with provenance, its cells and outputs.

use crate::cli::ShowArguments;
use crate::console::{Tone, print_wrapped, say, toned};
use crate::inputs::{Absent, Inputs};
use crate::item::{Context, plan};
use crate::outcome::Outcome;
use crate::record::CELL_DIGEST;
use crate::registry;
use crate::settings::SettingsFile;
use crate::workspace::Workspace;
use artifact::claim::{Claim, Verdict};
use artifact::digest::short;
use artifact::manifest::Manifest;
use artifact::verify::read_claims;
use icl_model::device::Device;

/// Runs the command.
pub(crate) fn show(
    workspace: &Workspace,
    arguments: &ShowArguments,
    device: Device,
) -> anyhow::Result<Outcome> {
    let item = registry::find(workspace, &arguments.id)?;
    let profile = arguments.profile;
    let inputs = Inputs::new(workspace, &arguments.inputs)?;
    let context = Context { profile, device, inputs: &inputs };
    let file = SettingsFile::read(&workspace.settings(item.id))?;
    let plan = plan(item, &file, context);
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
        if !entry.measured.is_empty() {
            let names = entry.measured.join("; ");
            print_wrapped(&format!("  otherwise: ext-sensitivity measures {names}"), 78);
        }
    }
    match plan {
        Ok(plan) => {
            let more = if arguments.cells { "" } else { "; `--cells` names them" };
            say!("\n{} cells{more}", plan.cells.len());
            for cell in plan.cells.iter().filter(|_| arguments.cells) {
                say!("  {} {}", short(&cell.key(CELL_DIGEST)), cell.name);
            }
        }
        Err(error) if error.is::<Absent>() => print_wrapped(&format!("not run: {error}"), 78),
        Err(error) => return Err(error),
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
    show_claims(&read_claims(&expected.data.join(item.id).join("claims.json"))?);
    Ok(Outcome::Reproduced)
}

/// Every claim with its verdict.
fn show_claims(claims: &[Claim]) {
    if !claims.is_empty() {
        say!("\nexpected claims and verdicts");
    }
    for claim in claims {
        let kind = if claim.expected { "" } else { " (asked)" };
        let tone = match claim.verdict {
            _ if claim.breaks() => Tone::Bad,
            Verdict::Undecided | Verdict::NotJudged => Tone::Open,
            _ => Tone::Good,
        };
        say!("  {}{kind}: {}", toned(claim.verdict.word(), tone), claim.id);
        print_wrapped(&format!("  {}", claim.statement), 78);
    }
}
