//! `icl run`: computes what is missing, writes outputs, verifies them.

use super::Outcome;
use super::list::Costs;
use crate::cli::RunArguments;
use crate::console::{note, say};
use crate::host::Host;
use crate::outputs::{Earlier, Files, Published, empty_manifest, render};
use crate::progress::Progress;
use crate::record::{ItemRecord, RunRecord, SOURCE_DIGEST, assembled};
use crate::registry::{self, Context, Item, Plan};
use crate::settings::SettingsFile;
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::cell::{self, Cell, CellFailure, CellResult, Origin, RunOptions};
use artifact::manifest::{self, HOST, Manifest, RUN, canonical_json};
use artifact::output;
use artifact::store::Store;
use icl_numerics::lanes::Isa;
use rayon::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// An item with its settings and its cells' places in the common list.
struct Planned {
    item: &'static dyn Item,
    settings: Value,
    assemble: registry::Assemble,
    cells: Vec<usize>,
}

/// All items' cells, each key once.
struct Work {
    items: Vec<Planned>,
    cells: Vec<Cell>,
    /// Items whose settings are refused, and why.
    refused: Vec<String>,
}

type Results = Vec<Option<Result<CellResult, CellFailure>>>;

/// Runs the command.
pub(crate) fn run(
    workspace: &Workspace,
    arguments: &RunArguments,
    isa: Isa,
) -> anyhow::Result<Outcome> {
    check_device(&arguments.device)?;
    let items = registry::select(workspace, &arguments.ids, arguments.all)?;
    registry::passed_over(workspace).iter().for_each(|text| note!("note: {text}"));
    let context = Context { profile: arguments.profile, isa };
    let work = plan(workspace, &items, context);
    if work.items.is_empty() {
        bail!("{}", work.refused.join("\n"));
    }
    let out = workspace.out(arguments.out.as_deref());
    output::create_dir(&out)?;
    output::remove_leftovers(&out);
    let store = Store::open(&out.join("store"))?;
    super::signals::tell_how_to_resume();
    let jobs = jobs(arguments.jobs);
    let options = RunOptions { jobs, fresh: arguments.fresh, shard: arguments.shard };
    let progress = Progress::new();
    let results = cell::run(&work.cells, SOURCE_DIGEST, &store, options, &progress)?;
    progress.end();
    report_failures(&work, &results);
    let outcome = if arguments.shard.is_some() {
        shard_outcome(&results)
    } else {
        publish(workspace, &out, &store, &work, &results, &progress, context, jobs)?
    };
    if !work.refused.is_empty() {
        let refused = work.refused.join("\n  ");
        bail!("{} items were not run, the others were:\n  {refused}", work.refused.len());
    }
    Ok(outcome)
}

fn check_device(device: &str) -> anyhow::Result<()> {
    match device {
        "cpu" => Ok(()),
        cuda if cuda == "cuda" || cuda.starts_with("cuda:") => bail!(
            "--device: found {cuda}, expected cpu: this build has no CUDA; every item runs on the CPU"
        ),
        other => bail!("--device: found {other}, expected cpu or cuda[:N]"),
    }
}

/// The number of threads asked for, or of cores.
pub(crate) fn jobs(asked: Option<u16>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(cores, usize::from)
}

/// Plans one item.
pub(crate) fn plan_item(
    workspace: &Workspace,
    item: &dyn Item,
    context: Context,
) -> anyhow::Result<(Plan, SettingsFile)> {
    let file = SettingsFile::read(&workspace.settings(item.id()))?;
    Ok((registry::plan(item, &file, context)?, file))
}

/// Plans all items; what one of them refuses does not stop the others.
fn plan(workspace: &Workspace, items: &[&'static dyn Item], context: Context) -> Work {
    let costs = Costs::read(workspace);
    let mut work = Work { items: Vec::new(), cells: Vec::new(), refused: Vec::new() };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let (plan, file) = match plan_item(workspace, *item, context) {
            Ok(planned) => planned,
            Err(error) => {
                work.refused.push(format!("{}: {error:#}", item.id()));
                continue;
            }
        };
        let unit = seconds_per_weight(&costs, item.id(), context, &plan.cells);
        let mut own = Vec::new();
        for mut cell in plan.cells {
            cell.weight *= unit;
            let key = cell.key(SOURCE_DIGEST);
            let place = *places.entry(key).or_insert_with(|| {
                work.cells.push(cell);
                work.cells.len() - 1
            });
            own.push(place);
        }
        work.items.push(Planned {
            item: *item,
            settings: file.values(context.profile),
            assemble: plan.assemble,
            cells: own,
        });
    }
    work
}

/// Measured seconds of one unit of an item's weight: weights of different items have different units. An item
/// that was never measured is taken to last a minute.
fn seconds_per_weight(costs: &Costs, id: &str, context: Context, cells: &[Cell]) -> f64 {
    let weight: f64 = cells.iter().map(|cell| cell.weight).sum();
    let minutes = costs.minutes(id, context.profile).unwrap_or(1.0);
    if weight > 0.0 { 60.0 * minutes / weight } else { 1.0 }
}

/// Names every failed cell and the items that need it.
fn report_failures(work: &Work, results: &Results) {
    for (i, result) in results.iter().enumerate() {
        if let Some(Err(failure)) = result {
            let items = work.items.iter().filter(|planned| planned.cells.contains(&i));
            let ids: Vec<&str> = items.map(|planned| planned.item.id()).collect();
            note!("failed: {}: {failure}", ids.join(", "));
        }
    }
}

fn shard_outcome(results: &Results) -> Outcome {
    let done = results.iter().flatten().filter(|result| result.is_ok()).count();
    say!("{done} of {} cells are in the store", results.len());
    if results.iter().flatten().any(Result::is_err) {
        Outcome::Differs
    } else {
        Outcome::Reproduced
    }
}

/// Writes the outputs of all items whose cells are there, beside those of earlier runs, and verifies them.
#[expect(clippy::too_many_arguments, reason = "all that a run has come to")]
fn publish(
    workspace: &Workspace,
    out: &Path,
    store: &Store,
    work: &Work,
    results: &Results,
    progress: &Progress,
    context: Context,
    jobs: usize,
) -> anyhow::Result<Outcome> {
    let dir = out.join(context.profile.name());
    // of several processes on one folder, one takes over what the others have published
    let lock = store.publishing();
    output::remove_leftovers(&dir);
    let earlier = Earlier::read(&dir, context.profile);
    let mut manifest = empty_manifest(context.profile);
    let mut files = Files::new();
    let mut records = BTreeMap::new();
    let mut add = |id: &str, published: Published| {
        files.extend(published.files);
        manifest.items.insert(id.to_owned(), published.entry);
        records.insert(id.to_owned(), published.record);
    };
    let assemble = |planned: &Planned| assemble(planned, results, earlier.as_ref(), &dir, progress);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let assembled: Vec<_> = pool.install(|| work.items.par_iter().map(assemble).collect());
    let mut complete = true;
    for (planned, published) in work.items.iter().zip(assembled) {
        match published {
            Ok(published) => add(planned.item.id(), published),
            Err(error) => {
                note!("failed: {}: {error:#}", planned.item.id());
                complete = false;
            }
        }
    }
    let own = |id: &str| work.items.iter().any(|planned| planned.item.id() == id);
    let others = earlier.iter().flat_map(Earlier::ids).filter(|id| !own(id));
    for id in others {
        let kept = earlier.as_ref().and_then(|earlier| earlier.undamaged(&dir, id));
        match kept.filter(|_| registry::find(workspace, id).is_ok()) {
            Some(kept) => add(id, kept),
            None => note!("note: {id} of an earlier run is damaged or unknown and was left out"),
        }
    }
    let record = RunRecord {
        seconds: progress.elapsed(),
        jobs,
        isa: context.isa.name().to_owned(),
        peak_memory_mib: Host::own().peak_memory_mib(),
        items: records,
    };
    write(&dir, &manifest, &files, &record)?;
    let report = artifact::verify::verify(
        &dir,
        context.profile.name(),
        &workspace.expected(context.profile),
    );
    drop(lock);
    let counts = work.items.iter().map(|item| (item.item.id(), counts(item, results))).collect();
    super::verify::print_report(&dir, &report, &counts);
    say!("{} in {:.0} s", dir.display(), progress.elapsed());
    Ok(if complete && report.passes() { Outcome::Reproduced } else { Outcome::Differs })
}

/// Publishes, unless the folder already holds the same outputs with the same record of who made them.
fn write(dir: &Path, manifest: &Manifest, files: &Files, record: &RunRecord) -> anyhow::Result<()> {
    let same_record = RunRecord::read(dir).is_some_and(|earlier| earlier.items == record.items);
    if same_record && manifest::is_published(dir, manifest, files)? {
        return Ok(());
    }
    let run_files = BTreeMap::from([
        (RUN.to_owned(), canonical_json(record)?),
        (HOST.to_owned(), canonical_json(&super::doctor::describe_host())?),
    ]);
    manifest::publish(dir, manifest, files, &run_files)?;
    Ok(())
}

/// An item's outputs: those of an earlier run if they follow from the same cells and are undamaged, otherwise
/// made anew.
fn assemble(
    planned: &Planned,
    results: &Results,
    earlier: Option<&Earlier>,
    dir: &Path,
    progress: &Progress,
) -> anyhow::Result<Published> {
    let id = planned.item.id();
    let result = |i: &usize| results[*i].as_ref()?.as_ref().ok();
    let Some(cells) = planned.cells.iter().map(result).collect::<Option<Vec<_>>>() else {
        bail!("cells are missing; `icl run {id}` computes only those");
    };
    let digests = cells.iter().map(|cell| (cell.key.as_str(), cell.sha256.as_str()));
    let assembled = assembled(&planned.settings, digests);
    let (computed, restored) = counts(planned, results);
    let before = earlier.and_then(|earlier| earlier.record(id));
    if before.is_some_and(|before| before.assembled == assembled)
        && computed == 0
        && let Some(kept) = earlier.and_then(|earlier| earlier.undamaged(dir, id))
    {
        return Ok(kept);
    }
    let tables: Vec<_> = cells.iter().map(|cell| cell.table.clone()).collect();
    let outputs = (planned.assemble)(&tables)?;
    let (files, entry) = render(planned.item, planned.settings.clone(), &outputs)?;
    let seconds = progress.seconds();
    let cell_seconds = planned.cells.iter().filter_map(|i| seconds.get(i)).sum();
    let source_digest = SOURCE_DIGEST.to_owned();
    let record = ItemRecord { computed, restored, cell_seconds, source_digest, assembled };
    Ok(Published { files, entry, record })
}

/// Cells of an item: computed now, restored.
fn counts(planned: &Planned, results: &Results) -> (usize, usize) {
    let origin = |i: &usize| results[*i].as_ref()?.as_ref().ok().map(|result| result.origin);
    let count = |wanted| planned.cells.iter().filter(|i| origin(i) == Some(wanted)).count();
    (count(Origin::Computed), count(Origin::Restored))
}
