//! Plans: the cells of the items that are asked for, each once, and which of them an item needs.

use crate::costs::Costs;
use crate::inputs::Absent;
use crate::item::{self, Assemble, Context, Item, Plan};
use crate::record::CELL_DIGEST;
use crate::settings::SettingsFile;
use crate::workspace::Workspace;
use artifact::Class;
use artifact::cell::{Cell, CellOutcome, Origin};
use artifact::manifest::SettingProvenance;
use serde_json::Value;
use std::collections::BTreeMap;

/// An item with its settings and its cells.
pub(crate) struct Planned {
    pub(crate) item: &'static Item,
    pub(crate) settings: Value,
    /// Where the settings come from.
    pub(crate) sources: BTreeMap<String, SettingProvenance>,
    pub(crate) assemble: Assemble,
    /// What is promised of the bits of its numbers.
    pub(crate) class: Class,
    /// Names of its cells, and their places in the common list.
    pub(crate) cells: Vec<(String, usize)>,
}

/// All items' cells, each key once; names begin with the id of the first item that has the cell.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) items: Vec<Planned>,
    pub(crate) cells: Vec<Cell>,
    /// Items whose settings are refused, and why.
    pub(crate) refused: Vec<String>,
    /// Items whose inputs are absent, and which.
    pub(crate) not_run: Vec<String>,
    /// Items that are not of the profile.
    pub(crate) others: Vec<&'static str>,
}

/// Plans one item; none if it is not of the profile.
pub(crate) fn plan_item(
    workspace: &Workspace,
    item: &Item,
    context: Context<'_>,
) -> anyhow::Result<Option<(Plan, SettingsFile)>> {
    let file = SettingsFile::read(&workspace.settings(item.id))?;
    if !file.is_of(context.profile) {
        return Ok(None);
    }
    Ok(Some((item::plan(item, &file, context)?, file)))
}

/// Plans all items of the profile; what one of them refuses or lacks does not stop the others.
pub(crate) fn plan(workspace: &Workspace, items: &[&'static Item], context: Context<'_>) -> Work {
    let costs = Costs::read(workspace);
    let mut work = Work::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let (plan, file) = match plan_item(workspace, item, context) {
            Ok(Some(planned)) => planned,
            Ok(None) => {
                work.others.push(item.id);
                continue;
            }
            Err(error) => {
                let list = match error.downcast_ref::<Absent>() {
                    Some(_) => &mut work.not_run,
                    None => &mut work.refused,
                };
                list.push(format!("{}: {error:#}", item.id));
                continue;
            }
        };
        let unit = seconds_per_weight(&costs, item.id, context, &plan.cells);
        let class = Class::of_all(plan.cells.iter().map(|cell| cell.class));
        let mut own = Vec::new();
        for cell in plan.cells {
            let (key, name) = (cell.key(CELL_DIGEST), cell.name.clone());
            let place = *places.entry(key).or_insert_with(|| {
                let name = format!("{}/{name}", item.id);
                work.cells.push(Cell { name, weight: cell.weight * unit, ..cell });
                work.cells.len() - 1
            });
            own.push((name, place));
        }
        work.items.push(Planned {
            item,
            settings: file.values(context.profile),
            sources: file.sources(),
            assemble: plan.assemble,
            class,
            cells: own,
        });
    }
    work
}

/// Measured seconds of one unit of an item's weight: weights of different items have different units. An item
/// that was never measured is taken to last a minute.
fn seconds_per_weight(costs: &Costs, id: &str, context: Context<'_>, cells: &[Cell]) -> f64 {
    let weight: f64 = cells.iter().map(|cell| cell.weight).sum();
    let minutes = costs.minutes(id, context.profile).unwrap_or(1.0);
    if weight > 0.0 { 60.0 * minutes / weight } else { 1.0 }
}

/// Cells of an item: computed now, restored.
pub(crate) fn counts(planned: &Planned, results: &[CellOutcome]) -> (usize, usize) {
    let origin = |i: usize| results[i].as_ref()?.as_ref().ok().map(|result| result.origin);
    let count = |wanted| planned.cells.iter().filter(|(_, i)| origin(*i) == Some(wanted)).count();
    (count(Origin::Computed), count(Origin::Restored))
}
