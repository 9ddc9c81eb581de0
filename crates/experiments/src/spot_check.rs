//! Random samples of outputs and cells that are made again.

use crate::cli::VerifyArguments;
use crate::costs::Costs;
use crate::inputs::Absent;
use crate::item::{self, Context, Item, Plan};
use crate::outputs::render;
use crate::plan::plan_item;
use crate::record::{CELL_DIGEST, RunRecord, SOURCE_DIGEST, assembled};
use crate::registry;
use crate::workspace::Workspace;
use artifact::cell::{self, Cell};
use artifact::digest::sha256;
use artifact::finding::{Finding, Kind};
use artifact::manifest::{Manifest, TableEntry};
use artifact::output;
use artifact::store::{Lookup, Store};
use artifact::table::{Schema, Table};
use artifact::verify::{Level, OutputReport, Report, compare_tables};
use artifact::{ArtifactError, Class};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

/// Makes parts of a folder again, so that neither store nor outputs are merely believed.
pub(crate) struct SpotCheck<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) dir: &'a Path,
    pub(crate) store: &'a Store,
    pub(crate) context: Context<'a>,
    pub(crate) arguments: &'a VerifyArguments,
    pub(crate) report: &'a mut Report,
}

/// An item whose cells are all stored.
struct Stored {
    item: &'static Item,
    settings: serde_json::Value,
    plan: Plan,
    /// Results by their cells' names.
    tables: Vec<(String, Table)>,
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
        for (id, entry) in &manifest.items {
            let record = record.as_ref().and_then(|record| record.items.get(id));
            let by_this_source = record.is_some_and(|record| record.source_digest == SOURCE_DIGEST);
            if !by_this_source {
                others += 1;
            } else if let Ok(item) = registry::find(self.workspace, id) {
                let assembled = record.map_or("", |record| record.assembled.as_str());
                match self.restore(item, entry.class(&entry.claims.path), assembled) {
                    Ok(found) => stored.extend(found),
                    Err(error) if error.is::<Absent>() => {
                        self.report.notes.push(format!("{id}: not made again: {error}"));
                    }
                    Err(error) => self.failure(id, Level::Damaged, &error),
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

    /// An item that cannot be made again.
    fn failure(&mut self, id: &str, level: Level, error: &anyhow::Error) {
        let expected = "outputs that follow from the stored cells";
        let finding = Finding::new(Kind::Content, id, format!("{error:#}"), expected);
        self.report.outputs.push(OutputReport::new(id, id, level, [finding]));
    }

    /// An item's cells from the store; missing and damaged ones are findings.
    fn restore(
        &mut self,
        item: &'static Item,
        class: Class,
        recorded: &str,
    ) -> anyhow::Result<Option<Stored>> {
        let Some((plan, file)) = plan_item(self.workspace, item, self.context)? else {
            return Ok(None);
        };
        // the cells of another device are stored by its class
        let cells = plan.cells.into_iter().map(|cell| cell.of_class(class)).collect();
        let plan = Plan { cells, ..plan };
        let settings = file.values(self.context.profile);
        let keys: Vec<String> = plan.cells.iter().map(|cell| cell.key(CELL_DIGEST)).collect();
        let lookup = |(cell, key): (&Cell, &String)| self.store.get(key, &cell.schema);
        let found: Vec<_> = plan.cells.par_iter().zip(&keys).map(lookup).collect();
        let (mut tables, mut digests) = (Vec::new(), Vec::new());
        for ((cell, key), found) in plan.cells.iter().zip(&keys).zip(found) {
            match found? {
                Lookup::Hit(table, sha256) => {
                    tables.push((cell.name.clone(), table));
                    digests.push((key.as_str(), sha256));
                }
                Lookup::Miss => {
                    let expected = format!("cell {} ({key}) in the store", cell.name);
                    let finding = Finding::missing(item.id, &expected, "`icl run` restores it");
                    let id = item.id;
                    self.report.outputs.push(OutputReport::new(id, id, Level::Missing, [finding]));
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
        sample.sort_by_key(|stored| random.hash_one(stored.item.id));
        sample.truncate(if self.arguments.full { usize::MAX } else { self.arguments.sample });
        sample.extend(stored.iter().filter(|stored| !stored.recorded));
        let results: Vec<_> =
            sample.par_iter().map(|stored| stored.differences(self.dir)).collect();
        for (stored, result) in sample.iter().zip(results) {
            let id = stored.item.id;
            match result {
                Ok(files) => files.into_iter().for_each(|found| differs(self.report, id, found)),
                Err(error) => self.failure(id, Level::Differs, &error),
            }
        }
    }

    /// Computes a random sample of cells again: of those that are estimated to take little time, or of all.
    fn cells(&mut self, stored: Vec<Stored>) {
        let costs = Costs::read(self.workspace);
        let mut cells: Vec<(String, Cell, Table)> = Vec::new();
        for stored in stored {
            let id = stored.item.id;
            let weight: f64 = stored.plan.cells.iter().map(|cell| cell.weight).sum();
            let minutes = costs.minutes(id, self.context.profile).unwrap_or(f64::INFINITY);
            let limit = self.arguments.seconds;
            // costs are seconds of two threads
            let quick = |cell: &Cell| 120.0 * minutes * cell.weight / weight <= limit;
            let own = stored.plan.cells.into_iter().zip(stored.tables);
            let own = own.map(|(cell, (name, table))| (format!("{id}/{name}"), cell, table));
            // of other classes nothing promises that they come out the same
            let exact = own.filter(|(_, cell, _)| cell.class.promises_bits());
            cells.extend(exact.filter(|(_, cell, _)| self.arguments.full || quick(cell)));
        }
        let random = RandomState::new();
        cells.sort_by_key(|(name, ..)| random.hash_one(name));
        cells.truncate(self.arguments.sample);
        let again = |(name, cell, table): &(String, Cell, Table)| {
            let again = (cell.compute)(&cell::Context::detached());
            again.and_then(|again| Ok(compare(name, table, &again, "a new computation")?))
        };
        let findings: Vec<_> = cells.par_iter().map(again).collect();
        for ((name, ..), findings) in cells.iter().zip(findings) {
            let findings = findings.unwrap_or_else(|error| {
                let expected = "a computation that ends as the stored one did";
                vec![Finding::new(Kind::Content, name, error.to_string(), expected)]
            });
            let level = if findings.is_empty() { Level::Bits } else { Level::Differs };
            self.report.outputs.push(OutputReport::new("recomputed", name, level, findings));
        }
    }
}

impl Stored {
    /// Draws the outputs again: for every file in `dir` that differs its path and how.
    fn differences(&self, dir: &Path) -> anyhow::Result<Vec<(String, Vec<Finding>)>> {
        const BY: &str = "a new drawing";
        let class = Class::of_all(self.plan.cells.iter().map(|cell| cell.class));
        let outputs = item::outputs(&self.plan.assemble, self.tables.clone())?;
        let (files, entry) = render(self.item, self.settings.clone(), class, &outputs)?;
        let mut differences = Vec::new();
        for (path, bytes) in files {
            let Ok(found) = output::read(&dir.join(&path)) else {
                let expected = "an output that follows from the stored cells";
                let missing = Finding::missing(&path, expected, "`icl run` restores it");
                differences.push((path, vec![missing]));
                continue;
            };
            if found == bytes {
                continue;
            }
            let digest = Finding::digest(&path, &sha256(&found), &sha256(&bytes), Some(BY));
            let tables = entry.tables.get(&path).and_then(|table| {
                let schema: Schema =
                    table.columns.iter().map(|c| (c.name.clone(), c.kind)).collect();
                let read = |bytes| Table::from_csv(&path, &schema, bytes).ok();
                read(&found).zip(read(&bytes))
            });
            let mut findings = match tables {
                Some((found, drawn)) => compare(&path, &found, &drawn, BY)?,
                None => Vec::new(),
            };
            findings.push(digest);
            differences.push((path, findings));
        }
        Ok(differences)
    }
}

/// Every entry of a table that is not the one that was made again.
fn compare(
    file: &str,
    found: &Table,
    again: &Table,
    by: &str,
) -> Result<Vec<Finding>, ArtifactError> {
    let entry = TableEntry::new(again, Class::Exact, &BTreeMap::new())?;
    let findings = compare_tables(file, found, again, &entry)?;
    Ok(findings.into_iter().map(|finding| finding.said_by(by)).collect())
}

/// Marks an output as different from what the stored cells give, unless it already is.
fn differs(report: &mut Report, item: &str, (path, findings): (String, Vec<Finding>)) {
    match report.outputs.iter_mut().find(|output| output.path == path) {
        Some(output) if output.level.passes() => {
            output.level = Level::Differs;
            output.findings = findings;
        }
        Some(_) => {}
        None => report.outputs.push(OutputReport::new(item, &path, Level::Differs, findings)),
    }
}
