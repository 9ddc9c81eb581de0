//! What an item is: a figure or table, its work, and what it exports.

use crate::inputs::Inputs;
use crate::profile::Profile;
use crate::settings::SettingsFile;
use artifact::Class;
use artifact::cell::{Cell, Results, doubled_name};
use artifact::claim::Claim;
use artifact::figure::Figure;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use icl_model::device::Device;
use std::collections::BTreeMap;

/// What a plan may depend on besides the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Size of the run.
    pub(crate) profile: Profile,
    /// Where numbers are computed.
    pub(crate) device: Device,
    /// What others made and the artifact reads.
    pub(crate) inputs: &'a Inputs,
}

/// A figure or table that is regenerated.
pub(crate) struct Item {
    /// Name on the command line and of files.
    pub(crate) id: &'static str,
    /// The picture or table of the paper that it answers.
    pub(crate) paper: &'static str,
    /// Its claim, one sentence.
    pub(crate) claim: &'static str,
    /// The work: cells, and how outputs follow from their results.
    pub(crate) plan: &'static Planner,
}

impl Item {
    /// Whether it answers a picture or table of the paper; the others ask questions of our own.
    pub(crate) fn is_of_the_paper(&self) -> bool {
        ["Figure ", "Appendix", "Table "].iter().any(|kind| self.paper.starts_with(kind))
    }
}

/// From settings to an item's work.
pub(crate) type Planner = dyn Fn(&SettingsFile, Context<'_>) -> anyhow::Result<Plan> + Sync;

/// An item's work.
pub(crate) struct Plan {
    /// Units of work, pure functions of the settings.
    pub(crate) cells: Vec<Cell>,
    /// Outputs from the cells' results.
    pub(crate) assemble: Assemble,
}

/// A pure function from results, by the names of their cells, to outputs.
pub(crate) type Assemble = Box<dyn Fn(&Results) -> anyhow::Result<Outputs> + Send + Sync>;

impl Plan {
    /// A plan of these cells.
    pub(crate) fn new(
        cells: Vec<Cell>,
        assemble: impl Fn(&Results) -> anyhow::Result<Outputs> + Send + Sync + 'static,
    ) -> Self {
        Self { cells, assemble: Box::new(assemble) }
    }
}

/// Outputs from the results of a plan's cells; every one of them must be read.
pub(crate) fn outputs(
    assemble: &Assemble,
    results: impl IntoIterator<Item = (String, Table)>,
) -> anyhow::Result<Outputs> {
    let results = Results::new(results)?;
    let outputs = assemble(&results)?;
    results.check_all_read()?;
    Ok(outputs)
}

/// What an item exports.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    /// Tables with the tolerances of their columns.
    pub(crate) tables: Vec<(Table, BTreeMap<String, Tolerance>)>,
    /// Figures with the names of the tables that they show.
    pub(crate) figures: Vec<(Figure, Vec<&'static str>)>,
    /// Claims with their evidence.
    pub(crate) claims: Vec<Claim>,
}

/// An item's work: at least one cell, and none of the same name as another.
pub(crate) fn plan(item: &Item, file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let plan = (item.plan)(file, context)?;
    if plan.cells.is_empty() {
        let found = format!("nothing to compute ({})", context.profile.name());
        return Err(file.refuse("lists", &found, "at least one entry in each"));
    }
    if let Some(name) = doubled_name(&plan.cells) {
        let found = format!("two entries of which `{name}` follows");
        return Err(file.refuse("lists", &found, "each entry once"));
    }
    // also where a cell leaves the GPU alone: to promise less is never wrong
    let class = class(context.device);
    let cells = plan.cells.into_iter().map(|cell| cell.of_class(class)).collect();
    Ok(Plan { cells, ..plan })
}

/// What is promised of the bits of what a device computes.
pub(crate) fn class(device: Device) -> Class {
    match device {
        Device::Cpu(_) => Class::Exact,
        Device::Cuda(..) => Class::Cuda,
    }
}
