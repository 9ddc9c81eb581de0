//! `icl verify`: integrity, bits, tolerance, claims, the store, and random samples that are made again.

use crate::cli::VerifyArguments;
use crate::console::{note, say};
use crate::host;
use crate::inputs::Inputs;
use crate::item::Context;
use crate::outcome::Outcome;
use crate::profile::Profile;
use crate::record::RunRecord;
use crate::report::{print_findings, print_report};
use crate::spot_check::SpotCheck;
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::finding::{Finding, Kind};
use artifact::manifest::{MANIFEST, Manifest, SUMS};
use artifact::store::{Checked, Store};
use artifact::verify::{Level, OutputReport, Report};
use icl_model::device::Device;
use icl_numerics::threads::Threads;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn verify(
    workspace: &Workspace,
    arguments: &VerifyArguments,
    device: Device,
) -> anyhow::Result<Outcome> {
    let given = workspace.out(arguments.dir.as_deref());
    let folders = profile_folders(&given)?;
    let store = store_of(&folders);
    let inputs = Inputs::new(workspace, &arguments.inputs)?;
    // no folder is replaced while it is read
    let lock = store.as_ref().and_then(Store::reading);
    let threads = Threads::new(host::jobs(None))?;
    let check = |(profile, dir): &(Profile, PathBuf)| {
        let mut report =
            artifact::verify::verify(dir, profile.name(), &workspace.expected(*profile));
        if let Some(record) = RunRecord::read(dir) {
            report.notes.extend(trained_on_gpus(&record));
            name_devices(&mut report, &record);
        }
        if let Some(store) = &store {
            let context = Context { profile: *profile, device, inputs: &inputs };
            SpotCheck { workspace, dir, store, context, arguments, report: &mut report }.check();
        }
        report
    };
    let checked = threads.run(|| folders.iter().map(check).collect::<Vec<Report>>());
    let reports: Vec<(&PathBuf, Report)> =
        folders.iter().map(|(_, dir)| dir).zip(checked).collect();
    let stored = store.as_ref().map(|store| check_store(store, &threads)).unwrap_or_default();
    drop(lock);
    let good = |output: &OutputReport| output.level.passes();
    let reproduced = reports.iter().all(|(_, report)| report.passes()) && stored.iter().all(good);
    if arguments.json {
        let profiles: Vec<&Report> = reports.iter().map(|(_, report)| report).collect();
        let text = json!({ "reproduced": reproduced, "profiles": profiles, "store": stored });
        say!("{text:#}");
    } else {
        reports.iter().for_each(|(dir, report)| print_report(dir, report, &BTreeMap::new()));
        print_findings(Path::new(""), &stored);
    }
    let damaged: Vec<String> =
        reports.iter().flat_map(|(dir, report)| damaged(dir, report)).collect();
    if !damaged.is_empty() {
        bail!("{}; `icl run` makes outputs anew", damaged.join("\n"));
    }
    Ok(if reproduced { Outcome::Reproduced } else { Outcome::Differs })
}

/// Puts the device beside every output of an item that the record knows.
fn name_devices(report: &mut Report, record: &RunRecord) {
    for output in &mut report.outputs {
        output.device = record.items.get(&output.item).map(|item| item.device().to_owned());
    }
}

/// Which items' layers a GPU has trained.
fn trained_on_gpus(record: &RunRecord) -> Vec<String> {
    let mut cards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, item) in &record.items {
        item.gpu.iter().for_each(|card| cards.entry(card.as_str()).or_default().push(id.as_str()));
    }
    let note = |(card, ids): (&str, Vec<&str>)| format!("trained on {card}: {}", ids.join(", "));
    cards.into_iter().map(note).collect()
}

/// Files that cannot be read as what they should be.
fn damaged(dir: &Path, report: &Report) -> Vec<String> {
    let damaged = report.outputs.iter().filter(|output| output.level == Level::Damaged);
    damaged.map(|o| format!("{}: {}", dir.join(&o.path).display(), o.detail())).collect()
}

/// The profile folders in `dir`, or `dir` itself.
pub(super) fn profile_folders(dir: &Path) -> anyhow::Result<Vec<(Profile, PathBuf)>> {
    let holds_outputs = |dir: &Path| dir.join(SUMS).exists() || dir.join(MANIFEST).exists();
    if holds_outputs(dir) {
        return Ok(vec![(profile_of(dir)?, dir.to_owned())]);
    }
    let folders: Vec<(Profile, PathBuf)> = Profile::ALL
        .into_iter()
        .map(|profile| (profile, dir.join(profile.name())))
        .filter(|(_, dir)| holds_outputs(dir))
        .collect();
    if folders.is_empty() {
        bail!(
            "{}: found no {SUMS} there nor in a folder of a profile (smoke/, quick/, paper/, table/) below it, expected the outputs \
             of a run; run `icl run --profile quick` first",
            dir.display()
        );
    }
    Ok(folders)
}

/// The profile that the manifest names, or the folder if the manifest cannot be read.
fn profile_of(dir: &Path) -> anyhow::Result<Profile> {
    let named = |name: &str| Profile::ALL.into_iter().find(|profile| profile.name() == name);
    let by_manifest = Manifest::read(dir).ok().and_then(|manifest| named(&manifest.profile));
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let by_folder = whole.file_name().and_then(|name| named(name.to_str()?));
    by_manifest.or(by_folder).ok_or_else(|| {
        anyhow::anyhow!(
            "{}: profile: found none in the manifest nor in the folder's name, expected smoke, quick, \
             paper or table; run `icl run` again",
            dir.display()
        )
    })
}

/// The store beside the profile folders.
fn store_of(folders: &[(Profile, PathBuf)]) -> Option<Store> {
    let (_, first) = folders.first()?;
    let whole = first.canonicalize().ok()?;
    // a link to a profile's folder stands beside the store, not its target
    let beside = [first.parent().map(Path::to_owned), whole.parent().map(Path::to_owned)];
    let dirs = beside.into_iter().flatten().map(|parent| parent.join("store"));
    dirs.into_iter().find_map(|dir| Store::existing(&dir))
}

/// Every entry of the store; what is passed over is noted.
fn check_store(store: &Store, threads: &Threads) -> Vec<OutputReport> {
    let Checked { findings, notes } = store.check(threads);
    notes.iter().for_each(|text| note!("note: {text}"));
    let report = |finding: Finding| {
        let level = if finding.kind == Kind::Foreign { Level::Unlisted } else { Level::Differs };
        OutputReport::new("store", &finding.file.clone(), level, [finding])
    };
    findings.into_iter().map(report).collect()
}
