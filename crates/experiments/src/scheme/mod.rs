//! Schemes: the small layer and prompt that they show, their matrices, and the page on which these are placed.

pub(crate) mod matrices;
pub(crate) mod page;
pub(crate) mod prompt;

use crate::item::{Context, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::table::Table;
use icl_model::device::Device;
use icl_model::settings::RunSettings;
use prompt::Settings;
use serde_json::json;

/// A scheme of the matrices of one prompt.
pub(crate) struct Scheme {
    /// Kind of its cell, with a version.
    pub(crate) kind: &'static str,
    /// The layer or the stack that it shows.
    pub(crate) run: fn(&Settings) -> RunSettings,
    /// Both sides' matrices.
    pub(crate) matrices: fn(&Settings, Device) -> anyhow::Result<Table>,
    /// Page and claims.
    pub(crate) assemble: fn(&Table) -> anyhow::Result<Outputs>,
}

impl Scheme {
    /// One cell, and what is drawn of it.
    pub(crate) fn plan(&self, file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
        let settings = Settings::read(file, context.profile)?;
        let run = (self.run)(&settings);
        let specification = json!({ "kind": self.kind, "settings": settings, "run": run });
        let (device, matrices, assemble) = (context.device, self.matrices, self.assemble);
        let compute = move |_: &artifact::cell::Context<'_>| matrices(&settings, device);
        let cell = Cell::new(matrices::MATRICES, 0.01, specification, matrices::schema(), compute);
        Ok(Plan::new(vec![cell], move |results| assemble(results.get(matrices::MATRICES)?)))
    }
}
