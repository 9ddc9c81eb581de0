//! The items: what each one regenerates, computes and claims.

use crate::items;
use crate::profile::Profile;
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::Claim;
use artifact::figure::Figure;
use artifact::table::Table;
use artifact::tolerance::Tolerance;
use icl_numerics::lanes::Isa;
use std::collections::BTreeMap;

/// What a plan may depend on besides the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Size of the run.
    pub(crate) profile: Profile,
    /// Instruction set; it changes the speed, never a number.
    pub(crate) isa: Isa,
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

/// All items, in the order of the paper.
pub(crate) static ALL: &[&dyn Item] = &[
    &items::fig1_dual_scheme::ITEM,
    &items::fig2_representation_lens::ITEM,
    &items::fig3_linear::ITEM,
    &items::fig4_transformer_layer_scheme::ITEM,
    &items::fig5_multi_layer_scheme::ITEM,
    &items::fig6_attention_heatmaps::ITEM,
    &items::fig7_feature_error::ITEM,
    &items::fig8_trigonometric::ITEM,
    &items::fig9_exponential::ITEM,
    &items::fig10_long_prompt::ITEM,
    &items::fig11_two_heads::ITEM,
    &items::fig12_random_feature_layer::ITEM,
    &items::fig13_transformer_layer::ITEM,
    &items::fig14_two_layers::ITEM,
    &items::fig15_combined::ITEM,
    &items::ext_exact_dual::ITEM,
    &items::ext_streaming::ITEM,
    &items::ext_stacks::ITEM,
    &items::ext_feature_failure::ITEM,
    &items::ext_gap::ITEM,
    &items::ext_gradient_checks::ITEM,
    &items::ext_mutants::ITEM,
    &items::ext_baselines::ITEM,
    &items::ext_linear_step::ITEM,
    &items::ext_alignment::ITEM,
];

/// The item `id`.
pub(crate) fn find(id: &str) -> anyhow::Result<&'static dyn Item> {
    ALL.iter().copied().find(|item| item.id() == id).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|item| item.id()).collect();
        anyhow::anyhow!(
            "item: found `{id}`, expected one of {}; `icl list` describes them",
            known.join(", ")
        )
    })
}

/// The items named, or all.
pub(crate) fn select(ids: &[String], all: bool) -> anyhow::Result<Vec<&'static dyn Item>> {
    if all || ids.is_empty() {
        return Ok(ALL.to_vec());
    }
    let mut chosen: Vec<&'static dyn Item> = Vec::new();
    for id in ids {
        let item = find(id)?;
        if !chosen.iter().any(|other| other.id() == item.id()) {
            chosen.push(item);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn every_item_has_a_unique_id_and_settings_from_which_it_plans_in_every_profile() {
        let workspace = Workspace::find(None).unwrap();
        for (i, item) in ALL.iter().enumerate() {
            assert!(ALL[..i].iter().all(|other| other.id() != item.id()));
            let file = SettingsFile::read(&workspace.settings(item.id())).unwrap();
            for profile in Profile::ALL {
                let plan = item.plan(&file, Context { profile, isa: Isa::detect() }).unwrap();
                assert!(!plan.cells.is_empty(), "{}", item.id());
            }
        }
    }

    #[test]
    fn every_settings_file_belongs_to_an_item() {
        let workspace = Workspace::find(None).unwrap();
        for entry in std::fs::read_dir(workspace.path("experiments")).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.extension().is_some_and(|e| e == "toml") {
                find(&stem).unwrap();
            }
        }
    }
}
