//! `icl verify`: integrity, bits, tolerance, claims, and a random sample of cells computed again.

use super::Outcome;
use super::run::{SOURCE_DIGEST, plan_item};
use crate::cli::VerifyArguments;
use crate::console::say;
use crate::outputs::render;
use crate::profile::Profile;
use crate::registry::{self, Context};
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::claim::{Claim, Verdict};
use artifact::digest::{sha256, short};
use artifact::manifest::{Manifest, SUMS};
use artifact::store::{Lookup, Store};
use artifact::table::Table;
use artifact::verify::{Level, OutputReport, Report};
use icl_numerics::lanes::Isa;
use serde_json::json;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn verify(
    workspace: &Workspace,
    arguments: &VerifyArguments,
    isa: Isa,
) -> anyhow::Result<Outcome> {
    let given = workspace.out(arguments.dir.as_deref());
    let folders = profile_folders(&given)?;
    let mut outcome = Outcome::Reproduced;
    let mut reports = Vec::new();
    for (profile, dir) in folders {
        let mut report = artifact::verify::verify(&dir, &workspace.expected(profile))?;
        let store = dir.parent().unwrap_or(&dir).join("store");
        let context = Context { profile, isa };
        recompute(workspace, &dir, &store, context, arguments.sample, &mut report)?;
        if !report.passes() {
            outcome = Outcome::Differs;
        }
        if !arguments.json {
            print_report(&dir, &report, &BTreeMap::new());
        }
        reports.push(report);
    }
    if arguments.json {
        let reproduced = outcome == Outcome::Reproduced;
        let text = json!({ "reproduced": reproduced, "profiles": reports });
        say!("{text:#}");
    }
    Ok(outcome)
}

/// The profile folders in `dir`, or `dir` itself.
fn profile_folders(dir: &Path) -> anyhow::Result<Vec<(Profile, PathBuf)>> {
    if dir.join(SUMS).exists() {
        let name = Manifest::read(dir)?.profile;
        let Some(profile) = Profile::ALL.into_iter().find(|p| p.name() == name) else {
            bail!(
                "{}: profile: found `{name}`, expected smoke, quick or paper; run `icl run` again",
                dir.join("manifest.json").display()
            );
        };
        return Ok(vec![(profile, dir.to_owned())]);
    }
    let folders: Vec<(Profile, PathBuf)> = Profile::ALL
        .into_iter()
        .map(|profile| (profile, dir.join(profile.name())))
        .filter(|(_, dir)| dir.join(SUMS).exists())
        .collect();
    if folders.is_empty() {
        bail!(
            "{}: found no {SUMS} there nor in smoke/, quick/ or paper/ below it, expected the outputs \
             of a run; run `icl run --profile quick` first",
            dir.display()
        );
    }
    Ok(folders)
}

/// Recomputes a random sample of cells against the store, and assembles items whose cells are all
/// stored, so that neither store nor outputs are merely believed.
fn recompute(
    workspace: &Workspace,
    dir: &Path,
    store: &Path,
    context: Context,
    sample: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    if !store.is_dir() {
        return Ok(());
    }
    let store = Store::open(store)?;
    let manifest = Manifest::read(dir)?;
    let mut stored = Vec::new();
    for id in manifest.items.keys() {
        let Ok(item) = registry::find(workspace, id) else {
            continue;
        };
        let (plan, file) = plan_item(workspace, item, context)?;
        let mut tables: Vec<Table> = Vec::new();
        for cell in &plan.cells {
            if let Lookup::Hit(table) = store.get(&cell.key(SOURCE_DIGEST), &cell.schema)? {
                tables.push(table);
            }
        }
        if tables.len() == plan.cells.len() {
            let outputs = (plan.assemble)(&tables)?;
            let (files, _) = render(item, file.values(context.profile), &outputs)?;
            for (path, bytes) in files {
                let on_disk = std::fs::read(dir.join(&path)).unwrap_or_default();
                if on_disk != bytes {
                    differs(report, id, &path, "differs from what the stored cells give");
                }
            }
            stored.extend(plan.cells.into_iter().zip(tables));
        }
    }
    let random = RandomState::new();
    stored.sort_by_key(|(cell, _)| random.hash_one(&cell.label));
    for (cell, table) in stored.into_iter().take(sample) {
        let again = (cell.compute)().map_err(|error| anyhow::anyhow!("{}: {error}", cell.label))?;
        let (found, expected) = (table.to_csv()?, again.to_csv()?);
        let level = if found == expected { Level::Bits } else { Level::Differs };
        report.outputs.push(OutputReport {
            item: "recomputed".into(),
            path: cell.label,
            level,
            class: artifact::manifest::EXACT.into(),
            detail: match level {
                Level::Bits => String::new(),
                _ => format!("stored {}, computed {}", sha256(&found), sha256(&expected)),
            },
        });
    }
    Ok(())
}

/// Marks an output as different, unless it already is.
fn differs(report: &mut Report, item: &str, path: &str, detail: &str) {
    match report.outputs.iter_mut().find(|output| output.path == path) {
        Some(output) if output.level.passes() => {
            output.level = Level::Differs;
            detail.clone_into(&mut output.detail);
        }
        Some(_) => {}
        None => report.outputs.push(OutputReport {
            item: item.to_owned(),
            path: path.to_owned(),
            level: Level::Differs,
            class: artifact::manifest::EXACT.into(),
            detail: detail.to_owned(),
        }),
    }
}

/// Prints a folder's report: one line per item, the differences, the root.
pub(crate) fn print_report(dir: &Path, report: &Report, counts: &BTreeMap<&str, (usize, usize)>) {
    say!("{:<30} {:>9} {:<10} {:>8} {:>8}", "item", "new+kept", "level", "claims", "tested");
    let mut items: BTreeMap<&str, Vec<&OutputReport>> = BTreeMap::new();
    for output in &report.outputs {
        items.entry(output.item.as_str()).or_default().push(output);
    }
    for (id, outputs) in items {
        let level = outputs.iter().map(|output| output.level).max().unwrap_or(Level::Missing);
        let cells = counts.get(id).map_or(String::new(), |(new, kept)| format!("{new}+{kept}"));
        let own = |claim: &&Claim| claim.id.split('/').next() == Some(id);
        let tally = |expected: bool| {
            let claims: Vec<&Claim> =
                report.claims.iter().filter(own).filter(|c| c.expected == expected).collect();
            let good = |c: &&&Claim| matches!(c.judge(), Verdict::Holds | Verdict::Thin);
            match claims.len() {
                0 => String::new(),
                n => format!("{}/{n}", claims.iter().filter(good).count()),
            }
        };
        let name = if id.is_empty() { "manifest.json" } else { id };
        let word = level.word();
        say!("{name:<30} {cells:>9} {word:<10} {:>8} {:>8}", tally(true), tally(false));
    }
    for output in report.outputs.iter().filter(|output| !output.level.passes()) {
        say!("{}: {}: {}", output.level.word(), dir.join(&output.path).display(), output.detail);
    }
    for claim in report.claims.iter().filter(|claim| claim.breaks()) {
        let Claim { id, statement, value, bound, .. } = claim;
        say!("claim {}: {id}: {statement}: value {value}, bound {bound}", claim.judge().word());
    }
    let expected = match &report.expected_root {
        Some(root) if *root == report.root => "as expected".to_owned(),
        Some(root) => format!("expected {}", short(root)),
        None => "no expected root for these items".to_owned(),
    };
    say!("{} root {} ({expected})", report.profile, report.root);
}
