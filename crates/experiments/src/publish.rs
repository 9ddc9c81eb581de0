//! From the results of a run to its folder: outputs made or taken over, published, verified and reported.

use crate::console::{note, say};
use crate::host::{self, Host};
use crate::item::{self, Context};
use crate::outcome::Outcome;
use crate::outputs::{Earlier, Files, Published, empty_manifest, render};
use crate::plan::{Planned, Work, counts};
use crate::progress::Progress;
use crate::record::{ItemRecord, RunRecord, SOURCE_DIGEST, assembled};
use crate::registry;
use crate::report::print_report;
use crate::workspace::Workspace;
use anyhow::bail;
use artifact::cell::CellOutcome;
use artifact::manifest::{
    self, HOST, ItemProvenance, Manifest, PROVENANCE, Provenance, RUN, canonical_json,
};
use artifact::output;
use artifact::store::Store;
use artifact::verify::Report;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A profile's folder after a run.
pub(crate) struct Verified {
    pub(crate) dir: PathBuf,
    pub(crate) report: Report,
    pub(crate) outcome: Outcome,
}

/// Writes the outputs of all items whose cells are there, beside those of earlier runs, and verifies them.
#[expect(clippy::too_many_arguments, reason = "all that a run has come to")]
pub(crate) fn publish(
    workspace: &Workspace,
    out: &Path,
    store: &Store,
    work: &Work,
    results: &[CellOutcome],
    progress: &Progress,
    context: Context<'_>,
    jobs: usize,
    gpu: Option<&str>,
) -> anyhow::Result<Verified> {
    let dir = out.join(context.profile.name());
    // of several processes on one folder, one takes over what the others have published
    let lock = store.publishing();
    output::remove_leftovers(&dir);
    let earlier = Earlier::read(&dir, context.profile);
    let mut manifest = empty_manifest(context.profile);
    let mut files = Files::new();
    let mut records = BTreeMap::new();
    let mut provenance = Provenance::of(BTreeMap::new());
    let mut add = |id: &str, published: Published| {
        files.extend(published.files);
        manifest.items.insert(id.to_owned(), published.entry);
        records.insert(id.to_owned(), published.record);
        provenance.items.extend(published.provenance.map(|own| (id.to_owned(), own)));
    };
    let assemble =
        |planned: &Planned| assemble(planned, results, earlier.as_ref(), &dir, progress, gpu);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build()?;
    let assembled: Vec<_> = pool.install(|| work.items.par_iter().map(assemble).collect());
    let mut complete = true;
    for (planned, published) in work.items.iter().zip(assembled) {
        match published {
            Ok(published) => add(planned.item.id, published),
            Err(error) => {
                note!("failed: {}: {error:#}", planned.item.id);
                complete = false;
            }
        }
    }
    if let Some(earlier) = &earlier {
        let kept = kept(workspace, work, earlier, &dir);
        kept.into_iter().for_each(|(id, published)| add(&id, published));
    }
    let record = record_of(records, progress, context, jobs);
    write(&dir, &manifest, &files, &record, &provenance)?;
    let expected = workspace.expected(context.profile);
    let report = artifact::verify::verify(&dir, context.profile.name(), &expected);
    drop(lock);
    let counts = work.items.iter().map(|item| (item.item.id, counts(item, results))).collect();
    print_report(&dir, &report, &counts);
    say!("{} in {:.0} s", dir.display(), progress.elapsed());
    let good = complete && report.passes();
    let outcome = if good { Outcome::Reproduced } else { Outcome::Differs };
    Ok(Verified { dir, report, outcome })
}

/// The record of a run with these items.
fn record_of(
    items: BTreeMap<String, ItemRecord>,
    progress: &Progress,
    context: Context<'_>,
    jobs: usize,
) -> RunRecord {
    RunRecord {
        seconds: progress.elapsed(),
        jobs,
        isa: context.device.isa().name().to_owned(),
        peak_memory_mib: Host::own().peak_memory_mib(),
        items,
    }
}

/// What an earlier run left of items that are not of this one, if it is undamaged.
fn kept(
    workspace: &Workspace,
    work: &Work,
    earlier: &Earlier,
    dir: &Path,
) -> Vec<(String, Published)> {
    let own = |id: &str| work.items.iter().any(|planned| planned.item.id == id);
    let published = |id: &str| {
        let kept = earlier.undamaged(dir, id).filter(|_| registry::find(workspace, id).is_ok());
        if kept.is_none() {
            note!("note: {id} of an earlier run is damaged or unknown and was left out");
        }
        kept.map(|kept| (id.to_owned(), kept))
    };
    earlier.ids().filter(|id| !own(id)).filter_map(published).collect()
}

/// Publishes, unless the folder already holds the same outputs with the same record of who made them, from
/// what.
fn write(
    dir: &Path,
    manifest: &Manifest,
    files: &Files,
    record: &RunRecord,
    provenance: &Provenance,
) -> anyhow::Result<()> {
    let same_record = RunRecord::read(dir).is_some_and(|earlier| earlier.items == record.items);
    let same = same_record && Provenance::read(dir).as_ref() == Some(provenance);
    if same && manifest::is_published(dir, manifest, files)? {
        return Ok(());
    }
    let run_files = BTreeMap::from([
        (RUN.to_owned(), canonical_json(record)?),
        (HOST.to_owned(), canonical_json(&host::describe())?),
        (PROVENANCE.to_owned(), canonical_json(provenance)?),
    ]);
    manifest::publish(dir, manifest, files, &run_files)?;
    Ok(())
}

/// An item's outputs: those of an earlier run if they follow from the same cells and are undamaged, otherwise
/// made anew.
fn assemble(
    planned: &Planned,
    results: &[CellOutcome],
    earlier: Option<&Earlier>,
    dir: &Path,
    progress: &Progress,
    gpu: Option<&str>,
) -> anyhow::Result<Published> {
    let id = planned.item.id;
    let result = |(_, i): &(String, usize)| results[*i].as_ref()?.as_ref().ok();
    let Some(cells) = planned.cells.iter().map(result).collect::<Option<Vec<_>>>() else {
        bail!("cells are missing; `icl run {id}` computes only those");
    };
    let digests = cells.iter().map(|cell| (cell.key.as_str(), cell.sha256.as_str()));
    let assembled = assembled(&planned.settings, digests);
    let (computed, restored) = counts(planned, results);
    let names = || planned.cells.iter().map(|(name, _)| name.clone());
    let keys: BTreeMap<_, _> = names().zip(cells.iter().map(|cell| cell.key.clone())).collect();
    let provenance = Some(ItemProvenance { settings: planned.sources.clone(), cells: keys });
    let before = earlier.and_then(|earlier| earlier.record(id));
    if before.is_some_and(|before| before.assembled == assembled)
        && computed == 0
        && let Some(kept) = earlier.and_then(|earlier| earlier.undamaged(dir, id))
    {
        // the words for the settings are those of now
        return Ok(Published { provenance, ..kept });
    }
    let tables = cells.iter().map(|cell| cell.table.clone());
    let outputs = item::outputs(&planned.assemble, names().zip(tables))?;
    let (files, entry) = render(planned.item, planned.settings.clone(), planned.class, &outputs)?;
    let seconds = progress.seconds();
    let cell_seconds = planned.cells.iter().filter_map(|(_, i)| seconds.get(i)).sum();
    let source_digest = SOURCE_DIGEST.to_owned();
    // a store holds what either the processor alone or a GPU has a part in
    let gpu = gpu.map(str::to_owned);
    let record = ItemRecord { computed, restored, cell_seconds, source_digest, assembled, gpu };
    Ok(Published { files, entry, record, provenance })
}
