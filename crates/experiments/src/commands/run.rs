//! `icl run`: computes what is missing, writes outputs, verifies them.

use crate::cli::RunArguments;
use crate::clock;
use crate::console::{note, say};
use crate::gpu::{self, Gpu};
use crate::host;
use crate::inputs::Inputs;
use crate::item::Context;
use crate::outcome::Outcome;
use crate::plan::{self, Planned, Work};
use crate::profile::Profile;
use crate::progress::Progress;
use crate::publish::{Verified, publish};
use crate::record::CELL_DIGEST;
use crate::registry;
use crate::report::print_summary;
use crate::signals;
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::cell::{self, CellOutcome, RunOptions};
use artifact::output;
use artifact::store::Store;
use icl_model::device::{Device, DeviceName};
use icl_numerics::lanes::Isa;
use std::path::PathBuf;

/// Runs the command.
pub(crate) fn run(
    workspace: &Workspace,
    arguments: &RunArguments,
    isa: Isa,
) -> anyhow::Result<Outcome> {
    let gpu = gpu_of(arguments.device)?;
    let device = device(arguments, isa);
    let items = registry::select(workspace, &arguments.ids, arguments.all)?;
    registry::passed_over(workspace).iter().for_each(|text| note!("note: {text}"));
    let inputs = Inputs::new(workspace, &arguments.inputs)?;
    let context = Context { profile: arguments.profile, device, inputs: &inputs };
    let work = plan::plan(workspace, &items, context);
    check_work(&work, context.profile, arguments)?;
    let out = folder(workspace, arguments, gpu.is_some());
    output::create_dir(&out)?;
    output::remove_leftovers(&out);
    let store = Store::open(&out.join("store"))?;
    signals::tell_how_to_resume();
    let jobs = host::jobs(arguments.jobs);
    let options = RunOptions { jobs, fresh: arguments.fresh, shard: arguments.shard };
    let progress = Progress::new();
    let on_gpu = gpu.as_ref().map(|gpu| train_ahead(gpu, &work, &store, arguments)).transpose()?;
    let results = cell::run(&work.cells, CELL_DIGEST, &store, options, &progress)?;
    progress.end();
    report_failures(&work, &results);
    let outcome = if arguments.shard.is_some() {
        shard_outcome(&results)
    } else {
        let Verified { dir, report, outcome } = publish(
            workspace,
            &out,
            &store,
            &work,
            &results,
            &progress,
            context,
            jobs,
            on_gpu.as_deref(),
        )?;
        // the page is for reading: outputs without it are complete
        match super::report::write(workspace, context.profile, &dir, &report) {
            Ok(page) => say!("report: {}", page.display()),
            Err(error) => note!("note: no report: {error:#}"),
        }
        print_summary(&dir, &report, next(context.profile, report.passes()));
        outcome
    };
    work.not_run.iter().for_each(|text| say!("not run: {text}"));
    if !work.refused.is_empty() {
        let refused = work.refused.join("\n  ");
        bail!("{} items were not run, the others were:\n  {refused}", work.refused.len());
    }
    // an item that is not run is never one that is reproduced
    let complete = work.not_run.is_empty() || context.profile.is_complete_without_inputs();
    Ok(if complete { outcome } else { Outcome::Differs })
}

/// What to do after a run.
fn next(profile: Profile, passes: bool) -> &'static str {
    match (passes, profile) {
        (false, _) => "read the lines above; `icl verify` repeats them without computing",
        (true, Profile::Smoke) => "`icl run --all --profile quick` shows every result's shape",
        (true, Profile::Quick) => "`icl run --all --profile paper` makes the paper's own figures",
        (true, _) => "open the report, or `icl show ITEM` for an item's settings and claims",
    }
}

/// Refuses a run of nothing, and items that are named and not of the profile; says which are not of it.
fn check_work(work: &Work, profile: Profile, arguments: &RunArguments) -> anyhow::Result<()> {
    let others = work.others.join(", ");
    let whole = arguments.all || arguments.ids.is_empty();
    if !whole && !others.is_empty() {
        let profile = profile.name();
        bail!(
            "{others}: found profile {profile}, expected one that the settings name; `icl show` does"
        );
    }
    if work.items.is_empty() {
        let none = [&work.refused[..], &work.not_run].concat();
        bail!("nothing was run: {}", none.join("\n"));
    }
    if !others.is_empty() && profile != Profile::Table {
        note!("note: not of profile {}: {others}", profile.name());
    }
    Ok(())
}

/// The GPU that is asked for.
fn gpu_of(device: DeviceName) -> anyhow::Result<Option<Gpu>> {
    match device {
        DeviceName::Cuda(index) => Gpu::open(index).map(Some),
        DeviceName::Cpu => Ok(None),
    }
}

/// The device of the cells.
fn device(arguments: &RunArguments, isa: Isa) -> Device {
    match arguments.profile {
        // nothing is expected of this profile's bits: candle tunes its BERTs on a GPU, in the class `cuda`
        Profile::Table => arguments.device.with(isa),
        // what is not trained ahead on a GPU is the processor's
        _ => Device::Cpu(isa),
    }
}

/// The folder of outputs and store; a result of a GPU is never restored as a processor's.
fn folder(workspace: &Workspace, arguments: &RunArguments, on_gpu: bool) -> PathBuf {
    let out = workspace.out(arguments.out.as_deref());
    if on_gpu { out.join(GPU_FOLDER) } else { out }
}

/// Folder of what a GPU has a part in, below that of outputs.
const GPU_FOLDER: &str = "cuda";

/// Trains what blocks of the GPU train of the cells that are to be computed; the card in words.
fn train_ahead(
    gpu: &Gpu,
    work: &Work,
    store: &Store,
    arguments: &RunArguments,
) -> anyhow::Result<String> {
    let card = gpu.describe();
    if arguments.profile == Profile::Table {
        say!("tunings on {card} by candle's operations, of the class cuda");
        return Ok(card);
    }
    let missing = gpu::missing(&work.cells, CELL_DIGEST, store, arguments.fresh);
    let begin = clock::now();
    let ahead = gpu.train_ahead(&missing)?;
    say!(
        "{} training runs on {card} in {:.1} s; {} on the processor",
        ahead.trained,
        begin.elapsed().as_secs_f64(),
        ahead.left
    );
    Ok(card)
}

/// Names every failed cell and the items that need it.
fn report_failures(work: &Work, results: &[CellOutcome]) {
    for (i, result) in results.iter().enumerate() {
        if let Some(Err(failure)) = result {
            let needs = |planned: &&Planned| planned.cells.iter().any(|(_, place)| *place == i);
            let items = work.items.iter().filter(needs);
            let ids: Vec<&str> = items.map(|planned| planned.item.id).collect();
            note!("failed: {}: {failure}", ids.join(", "));
        }
    }
}

fn shard_outcome(results: &[CellOutcome]) -> Outcome {
    let done = results.iter().flatten().filter(|result| result.is_ok()).count();
    say!("{done} of {} cells are in the store", results.len());
    if results.iter().flatten().any(Result::is_err) {
        Outcome::Differs
    } else {
        Outcome::Reproduced
    }
}
