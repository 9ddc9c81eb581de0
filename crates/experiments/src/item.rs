//! What an item is: a figure or table, its work, and what it exports.

use crate::profile::Profile;
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::Claim;
use artifact::figure::Figure;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use icl_model::device::Device;
use std::collections::BTreeMap;

/// What a plan may depend on besides the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Size of the run.
    pub(crate) profile: Profile,
    /// Where numbers are computed.
    pub(crate) device: Device,
}

/// A figure or table that is regenerated.
pub(crate) trait Item: Sync {
    /// Name on the command line and of files.
    fn id(&self) -> &'static str;
    /// The picture or table of the paper that it answers.
    fn paper(&self) -> &'static str;
    /// Its claim, one sentence.
    fn claim(&self) -> &'static str;
    /// The work: cells, and how outputs follow from their results.
    fn plan(&self, file: &SettingsFile, context: Context) -> anyhow::Result<Plan>;
}

/// An item's work.
pub(crate) struct Plan {
    /// Units of work, pure functions of the settings.
    pub(crate) cells: Vec<Cell>,
    /// Outputs from the cells' results, in the order of `cells`.
    pub(crate) assemble: Assemble,
}

/// A pure function from results to outputs.
pub(crate) type Assemble = Box<dyn Fn(&[Table]) -> anyhow::Result<Outputs> + Send + Sync>;

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

/// An item's work, which is at least one cell.
pub(crate) fn plan(item: &dyn Item, file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let plan = item.plan(file, context)?;
    if plan.cells.is_empty() {
        let found = format!("nothing to compute ({})", context.profile.name());
        return Err(file.refuse("lists", &found, "at least one entry in each"));
    }
    Ok(plan)
}
