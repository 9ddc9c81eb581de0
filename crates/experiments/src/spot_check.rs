//! Random samples of outputs and cells that are made again.

use crate::cli::VerifyArguments;
use crate::costs::Costs;
use crate::item::{Context, Item, Plan};
use crate::outputs::render;
use crate::plan::plan_item;
use crate::record::{RunRecord, SOURCE_DIGEST, assembled};
use crate::registry;
use crate::workspace::Workspace;
use artifact::cell::Cell;
use artifact::digest::sha256;
use artifact::manifest::Manifest;
use artifact::output;
use artifact::store::{Lookup, Store};
use artifact::table::Table;
use artifact::verify::{Level, OutputReport, Report};
use rayon::prelude::*;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

/// Makes parts of a folder again, so that neither store nor outputs are merely believed.
pub(crate) struct SpotCheck<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) dir: &'a Path,
    pub(crate) store: &'a Store,
    pub(crate) context: Context,
    pub(crate) arguments: &'a VerifyArguments,
    pub(crate) report: &'a mut Report,
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

impl SpotCheck<'_> {
    /// Makes the sample again; what differs is added to the report.
    pub(crate) fn check(&mut self) {
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
