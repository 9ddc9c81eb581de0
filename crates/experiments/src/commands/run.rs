//! `icl run`: computes what is missing, writes outputs, verifies them.

use super::Outcome;
use crate::cli::RunArguments;
use crate::console::{note, say};
use crate::outputs::{Files, carry_over, empty_manifest, render};
use crate::progress::Progress;
use crate::registry::{self, Context, Item, Plan};
use crate::settings::SettingsFile;
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::cell::{self, Cell, CellFailure, CellResult, Origin, RunOptions};
use artifact::manifest::{Manifest, canonical_json, publish};
use artifact::output;
use artifact::store::Store;
use icl_numerics::lanes::Isa;
use serde_json::json;
use std::collections::BTreeMap;

/// Digest of the sources that can change a number.
pub(crate) const SOURCE_DIGEST: &str = env!("ICL_SOURCE_DIGEST");

/// An item with its settings and its cells' places in the common list.
struct Planned {
    item: &'static dyn Item,
    settings: serde_json::Value,
    assemble: registry::Assemble,
    cells: Vec<usize>,
}

/// All items' cells, each key once.
struct Work {
    items: Vec<Planned>,
    cells: Vec<Cell>,
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
    let context = Context { profile: arguments.profile, isa };
    let work = plan(workspace, &items, context)?;
    let out = workspace.out(arguments.out.as_deref());
    output::create_dir(&out)?;
    output::remove_leftovers(&out)?;
    let store = Store::open(&out.join("store"))?;
    let jobs = jobs(arguments.jobs);
    let options = RunOptions { jobs, fresh: arguments.fresh, shard: arguments.shard };
    let progress = Progress::new();
    let results = cell::run(&work.cells, SOURCE_DIGEST, &store, options, &progress)?;
    progress.end();
    report_failures(&results);
    if arguments.shard.is_some() {
        return Ok(shard_outcome(&results));
    }

    let dir = out.join(arguments.profile.name());
    let mut manifest = empty_manifest(arguments.profile);
    let mut files = Files::new();
    let complete = assemble(&work, &results, &mut manifest, &mut files)?;
    for id in
        carry_over(&dir, |id| registry::find(workspace, id).is_ok(), &mut manifest, &mut files)
    {
        note!("note: {id} of an earlier run is damaged or unknown and was left out");
    }
    let unhashed = BTreeMap::from([
        (
            "run.json".to_owned(),
            canonical_json(&run_record(&work, &results, &progress, jobs, isa))?,
        ),
        ("host.json".to_owned(), canonical_json(&super::doctor::host())?),
    ]);
    publish(&dir, &manifest, &files, &unhashed)?;
    let report = artifact::verify::verify(&dir, &workspace.expected(arguments.profile))?;
    let counts = work.items.iter().map(|item| (item.item.id(), counts(item, &results))).collect();
    super::verify::print_report(&dir, &report, &counts);
    say!("wrote {} in {:.0} s", dir.display(), progress.elapsed());
    Ok(if complete && report.passes() { Outcome::Reproduced } else { Outcome::Differs })
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
    Ok((item.plan(&file, context)?, file))
}

fn plan(
    workspace: &Workspace,
    items: &[&'static dyn Item],
    context: Context,
) -> anyhow::Result<Work> {
    let mut work = Work { items: Vec::new(), cells: Vec::new() };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let (plan, file) = plan_item(workspace, *item, context)?;
        let mut own = Vec::new();
        for cell in plan.cells {
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
    Ok(work)
}

fn report_failures(results: &Results) {
    for failure in results.iter().flatten().filter_map(|result| result.as_ref().err()) {
        note!("failed: {failure}");
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

/// Assembles every item whose cells are all there; returns whether all were.
fn assemble(
    work: &Work,
    results: &Results,
    manifest: &mut Manifest,
    files: &mut Files,
) -> anyhow::Result<bool> {
    let mut complete = true;
    for planned in &work.items {
        let tables: Option<Vec<_>> = planned
            .cells
            .iter()
            .map(|i| Some(results[*i].as_ref()?.as_ref().ok()?.table.clone()))
            .collect();
        let id = planned.item.id();
        let Some(tables) = tables else {
            note!("{id}: cells are missing; `icl run {id}` computes only those");
            complete = false;
            continue;
        };
        let outputs = (planned.assemble)(&tables)?;
        let (own, entry) = render(planned.item, planned.settings.clone(), &outputs)?;
        files.extend(own);
        manifest.items.insert(id.to_owned(), entry);
    }
    Ok(complete)
}

/// Cells of an item: computed now, restored.
fn counts(planned: &Planned, results: &Results) -> (usize, usize) {
    let origin = |i: &usize| results[*i].as_ref()?.as_ref().ok().map(|result| result.origin);
    let count = |wanted| planned.cells.iter().filter(|i| origin(i) == Some(wanted)).count();
    (count(Origin::Computed), count(Origin::Restored))
}

/// What belongs to this run and to no digest.
fn run_record(
    work: &Work,
    results: &Results,
    progress: &Progress,
    jobs: usize,
    isa: Isa,
) -> serde_json::Value {
    let seconds = progress.seconds();
    let item = |planned: &Planned| {
        let (computed, restored) = counts(planned, results);
        let cpu: f64 = planned.cells.iter().filter_map(|i| seconds.get(i)).sum();
        let record = json!({ "computed": computed, "restored": restored, "cell_seconds": cpu });
        (planned.item.id().to_owned(), record)
    };
    let items: BTreeMap<String, serde_json::Value> = work.items.iter().map(item).collect();
    json!({
        "seconds": progress.elapsed(),
        "jobs": jobs,
        "isa": isa.name(),
        "source_digest": SOURCE_DIGEST,
        "peak_memory_mib": super::doctor::peak_memory_mib(),
        "items": items,
    })
}
