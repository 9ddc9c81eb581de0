//! `icl verify`: integrity, bits, tolerance, claims, the store, and random samples that are made again.

use super::Outcome;
use super::list::Costs;
use super::run::plan_item;
use crate::cli::VerifyArguments;
use crate::console::{note, say};
use crate::outputs::render;
use crate::profile::Profile;
use crate::record::{RunRecord, SOURCE_DIGEST, assembled};
use crate::registry::{self, Context, Item, Plan};
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::cell::Cell;
use artifact::claim::{Claim, Verdict};
use artifact::digest::{sha256, short};
use artifact::manifest::{MANIFEST, Manifest, SUMS};
use artifact::output;
use artifact::store::{Lookup, Store};
use artifact::table::Table;
use artifact::verify::{Level, OutputReport, Report};
use icl_numerics::lanes::Isa;
use rayon::prelude::*;
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
    let store = store_of(&folders);
    // no folder is replaced while it is read
    let lock = store.as_ref().and_then(Store::reading);
    let mut reports = Vec::new();
    for (profile, dir) in &folders {
        let mut report =
            artifact::verify::verify(dir, profile.name(), &workspace.expected(*profile));
        if let Some(store) = &store {
            let context = Context { profile: *profile, isa };
            Again { workspace, dir, store, context, arguments, report: &mut report }.check();
        }
        reports.push((dir, report));
    }
    let stored = store.as_ref().map(check_store).unwrap_or_default();
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

/// Files that cannot be read as what they should be.
fn damaged(dir: &Path, report: &Report) -> Vec<String> {
    let damaged = report.outputs.iter().filter(|output| output.level == Level::Damaged);
    damaged.map(|o| format!("{}: {}", dir.join(&o.path).display(), o.detail)).collect()
}

/// The profile folders in `dir`, or `dir` itself.
fn profile_folders(dir: &Path) -> anyhow::Result<Vec<(Profile, PathBuf)>> {
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
            "{}: found no {SUMS} there nor in smoke/, quick/ or paper/ below it, expected the outputs \
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
            "{}: profile: found none in the manifest nor in the folder's name, expected smoke, quick or \
             paper; run `icl run` again",
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
fn check_store(store: &Store) -> Vec<OutputReport> {
    let (findings, passed_over) = store.check();
    passed_over.iter().for_each(|path| note!("note: {}: passed over", path.display()));
    let report = |finding: artifact::store::Finding| {
        let level = if finding.foreign { Level::Unlisted } else { Level::Differs };
        OutputReport::new("store", &finding.path.display().to_string(), level, finding.detail)
    };
    findings.into_iter().map(report).collect()
}

/// Makes parts of a folder again, so that neither store nor outputs are merely believed.
struct Again<'a> {
    workspace: &'a Workspace,
    dir: &'a Path,
    store: &'a Store,
    context: Context,
    arguments: &'a VerifyArguments,
    report: &'a mut Report,
}

/// An item whose cells are all stored.
struct Stored {
    item: &'static dyn Item,
    settings: serde_json::Value,
    plan: Plan,
    tables: Vec<Table>,
    /// Whether the run's record says that the outputs follow from these cells.
    recorded: bool,
}

impl Again<'_> {
    fn check(&mut self) {
        let Ok(manifest) = Manifest::read(self.dir) else {
            return;
        };
        let record = RunRecord::read(self.dir);
        let (mut stored, mut others) = (Vec::new(), 0);
        for id in manifest.items.keys() {
            let record = record.as_ref().and_then(|record| record.items.get(id));
            let by_this_source = record.is_some_and(|record| record.source_digest == SOURCE_DIGEST);
            if !by_this_source {
                others += 1;
            } else if let Ok(item) = registry::find(self.workspace, id) {
                let assembled = record.map_or("", |record| record.assembled.as_str());
                match self.restore(item, assembled) {
                    Ok(found) => stored.extend(found),
                    Err(error) => self.finding(id, Level::Damaged, &format!("{error:#}")),
                }
            }
        }
        if others > 0 {
            let text = format!("{others} items: made by another source; not made again");
            self.report.notes.push(text);
        }
        self.outputs(&stored);
        self.cells(stored);
    }

    fn finding(&mut self, id: &str, level: Level, detail: &str) {
        self.report.outputs.push(OutputReport::new(id, id, level, detail));
    }

    /// An item's cells from the store; missing and damaged ones are findings.
    fn restore(
        &mut self,
        item: &'static dyn Item,
        recorded: &str,
    ) -> anyhow::Result<Option<Stored>> {
        let (plan, file) = plan_item(self.workspace, item, self.context)?;
        let settings = file.values(self.context.profile);
        let keys: Vec<String> = plan.cells.iter().map(|cell| cell.key(SOURCE_DIGEST)).collect();
        let lookup = |(cell, key): (&Cell, &String)| self.store.get(key, &cell.schema);
        let found: Vec<_> = plan.cells.par_iter().zip(&keys).map(lookup).collect();
        let (mut tables, mut digests) = (Vec::new(), Vec::new());
        for ((cell, key), found) in plan.cells.iter().zip(&keys).zip(found) {
            match found? {
                Lookup::Hit(table, sha256) => {
                    tables.push(table);
                    digests.push((key.as_str(), sha256));
                }
                Lookup::Miss => {
                    let detail = format!(
                        "cell {} ({key}) is not in the store; `icl run` restores it",
                        cell.label
                    );
                    self.finding(item.id(), Level::Missing, &detail);
                }
                // the store's own check names it
                Lookup::Damaged(_) => {}
            }
        }
        let digest =
            assembled(&settings, digests.iter().map(|(key, sha256)| (*key, sha256.as_str())));
        let complete = tables.len() == plan.cells.len();
        Ok(complete.then(|| Stored { item, settings, plan, tables, recorded: digest == recorded }))
    }

    /// Draws outputs again from the stored cells: those of a random sample of items, and of all whose record
    /// says that they come from other cells.
    fn outputs(&mut self, stored: &[Stored]) {
        let random = RandomState::new();
        let mut sample: Vec<&Stored> = stored.iter().filter(|stored| stored.recorded).collect();
        sample.sort_by_key(|stored| random.hash_one(stored.item.id()));
        sample.truncate(if self.arguments.full { usize::MAX } else { self.arguments.sample });
        sample.extend(stored.iter().filter(|stored| !stored.recorded));
        let dir = self.dir;
        let differing = |stored: &&Stored| -> anyhow::Result<Vec<String>> {
            let outputs = (stored.plan.assemble)(&stored.tables)?;
            let (files, _) = render(stored.item, stored.settings.clone(), &outputs)?;
            let differs = |(path, bytes): &(String, Vec<u8>)| {
                output::read(&dir.join(path)).ok().as_ref() != Some(bytes)
            };
            Ok(files.into_iter().filter(differs).map(|(path, _)| path).collect())
        };
        let results: Vec<_> = sample.par_iter().map(differing).collect();
        for (stored, result) in sample.iter().zip(results) {
            match result {
                Ok(paths) => {
                    paths.iter().for_each(|path| differs(self.report, stored.item.id(), path));
                }
                Err(error) => self.finding(stored.item.id(), Level::Differs, &format!("{error:#}")),
            }
        }
    }

    /// Computes a random sample of cells again: of those that are estimated to take little time, or of all.
    fn cells(&mut self, stored: Vec<Stored>) {
        let costs = Costs::read(self.workspace);
        let mut cells: Vec<(Cell, Table)> = Vec::new();
        for stored in stored {
            let id = stored.item.id();
            let weight: f64 = stored.plan.cells.iter().map(|cell| cell.weight).sum();
            let minutes = costs.minutes(id, self.context.profile).unwrap_or(f64::INFINITY);
            let limit = self.arguments.seconds;
            // costs are seconds of two threads
            let quick = |cell: &Cell| 120.0 * minutes * cell.weight / weight <= limit;
            let own = stored.plan.cells.into_iter().zip(stored.tables);
            cells.extend(own.filter(|(cell, _)| self.arguments.full || quick(cell)));
        }
        let random = RandomState::new();
        cells.sort_by_key(|(cell, _)| random.hash_one(&cell.label));
        cells.truncate(self.arguments.sample);
        let again: Vec<_> = cells.par_iter().map(|(cell, _)| (cell.compute)()).collect();
        for ((cell, table), again) in cells.into_iter().zip(again) {
            let again = again.and_then(|again| Ok(again.to_csv()?));
            let (level, detail) = match (table.to_csv(), again) {
                (Ok(found), Ok(again)) if found == again => (Level::Bits, String::new()),
                (Ok(found), Ok(again)) => {
                    let text = format!("stored {}, computed {}", sha256(&found), sha256(&again));
                    (Level::Differs, text)
                }
                (Err(error), _) => (Level::Differs, error.to_string()),
                (_, Err(error)) => (Level::Differs, error.to_string()),
            };
            self.report.outputs.push(OutputReport::new("recomputed", &cell.label, level, detail));
        }
    }
}

/// Marks an output as different from what the stored cells give, unless it already is.
fn differs(report: &mut Report, item: &str, path: &str) {
    let detail = "differs from what the stored cells give";
    match report.outputs.iter_mut().find(|output| output.path == path) {
        Some(output) if output.level.passes() => {
            output.level = Level::Differs;
            detail.clone_into(&mut output.detail);
        }
        Some(_) => {}
        None => report.outputs.push(OutputReport::new(item, path, Level::Differs, detail)),
    }
}

/// Prints every finding with its file.
fn print_findings(dir: &Path, outputs: &[OutputReport]) {
    for output in outputs.iter().filter(|output| !output.level.passes()) {
        let path = match output.item.as_str() {
            "recomputed" => PathBuf::from(&output.path),
            _ => dir.join(&output.path),
        };
        say!("{}: {}: {}", output.level.word(), path.display(), output.detail);
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
        let name = if id.is_empty() { "lists and expected files" } else { id };
        let word = level.word();
        say!("{name:<30} {cells:>9} {word:<10} {:>8} {:>8}", tally(true), tally(false));
    }
    print_findings(dir, &report.outputs);
    report.notes.iter().for_each(|text| note!("note: {text}"));
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
