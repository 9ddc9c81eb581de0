//! The list of the items, and how one is found by its name.

use crate::item::{Context, Item};
use crate::items;
use crate::settings::SettingsFile;
use crate::training_figure;
use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// The items of the artifact, in the order of the paper.
static BUILT_IN: &[&Item] = &[
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
    &items::tab1_glue::ITEM,
    &items::ext_branches::ITEM,
    &items::ext_exact_dual::ITEM,
    &items::ext_bert_dual::ITEM,
    &items::ext_streaming::ITEM,
    &items::ext_stacks::ITEM,
    &items::ext_feature_failure::ITEM,
    &items::ext_trained_features::ITEM,
    &items::ext_gap::ITEM,
    &items::ext_icl_generalisation::ITEM,
    &items::ext_gradient_checks::ITEM,
    &items::ext_mutants::ITEM,
    &items::ext_baselines::ITEM,
    &items::ext_linear_step::ITEM,
    &items::ext_linear_depth::ITEM,
    &items::ext_alignment::ITEM,
    &items::ext_function_classes::ITEM,
    &items::ext_collapse::ITEM,
    &items::ext_search::ITEM,
    &items::ext_sensitivity::ITEM,
    &items::ext_where_modifications_help::ITEM,
    &items::ext_grammar_glue::ITEM,
];

/// A user's own items by id: they live as long as the program, as the built-in ones do, and each once.
static OWN: Mutex<BTreeMap<String, &'static Item>> = Mutex::new(BTreeMap::new());

fn own(id: &str) -> &'static Item {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.entry(id.to_owned()).or_insert_with(|| {
        let id: &'static str = String::leak(id.to_owned());
        let plan = move |file: &SettingsFile, context: Context<'_>| training_figure::plan(id, file, context);
        Box::leak(Box::new(Item {
            id,
            paper: "none (a user's own item)",
            claim: "The dual reaches attention's output in N gradient steps; what the modifications change",
            plan: Box::leak(Box::new(plan)),
        }))
    })
}

/// The built-in items.
pub(crate) fn built_in() -> &'static [&'static Item] {
    BUILT_IN
}

/// All items of a workspace: those above, then one for every other settings file of `experiments/`, which is
/// a user's own figure of the family `training_figure`.
pub(crate) fn all(workspace: &Workspace) -> Vec<&'static Item> {
    let mut ids: Vec<String> = entries(workspace).into_iter().filter_map(Result::ok).collect();
    ids.retain(|id| BUILT_IN.iter().all(|item| item.id != id));
    ids.sort();
    let own = ids.iter().map(|id| own(id));
    BUILT_IN.iter().copied().chain(own).collect()
}

/// Entries of `experiments/` that look like settings and are none, each with the reason.
pub(crate) fn passed_over(workspace: &Workspace) -> Vec<String> {
    let mut texts: Vec<String> = entries(workspace).into_iter().filter_map(Result::err).collect();
    texts.sort();
    texts
}

/// The id of every settings file, and what is passed over.
fn entries(workspace: &Workspace) -> Vec<Result<String, String>> {
    let listed = std::fs::read_dir(workspace.path("experiments")).into_iter().flatten().flatten();
    let settings = listed
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    settings.map(|path| id_of(&path)).collect()
}

/// The id that a settings file's name gives.
fn id_of(path: &Path) -> Result<String, String> {
    let passed = |why: &str| Err(format!("{}: passed over: {why}", path.display()));
    let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
        passed("its name is hidden")
    } else if !(id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(plain)) {
        passed("an item's name has letters, digits, `-` and `_` only")
    } else if !path.is_file() {
        passed("it is no file, or a link that leads nowhere")
    } else {
        Ok(id.to_owned())
    }
}

/// The item `id`.
pub(crate) fn find(workspace: &Workspace, id: &str) -> anyhow::Result<&'static Item> {
    let items = all(workspace);
    items.iter().copied().find(|item| item.id == id).ok_or_else(|| {
        let known: Vec<&str> = items.iter().map(|item| item.id).collect();
        match meant(&known, id) {
            Some(near) => anyhow::anyhow!(
                "item: found `{id}`, expected one of the {} that `icl list` shows; did you mean `{near}`?",
                known.len()
            ),
            None => anyhow::anyhow!(
                "item: found `{id}`, expected one of {}; `icl list` describes them",
                known.join(", ")
            ),
        }
    })
}

/// Likeness from which a name may be a slip of the pen for another.
const ALIKE: f64 = 0.75;

/// The id that a wrong one may stand for: the one that it begins or ends, otherwise the one most like it.
fn meant<'a>(known: &[&'a str], id: &str) -> Option<&'a str> {
    let part = |known: &&&str| {
        known.strip_prefix(id).is_some_and(|rest| rest.starts_with('-'))
            || known.strip_suffix(id).is_some_and(|rest| rest.ends_with('-'))
    };
    if let Some(whole) = known.iter().find(part) {
        return Some(whole);
    }
    let alike = known.iter().map(|known| (strsim::jaro_winkler(known, id), *known));
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= ALIKE).then_some(best.1)
}

/// The items named, or all.
pub(crate) fn select(
    workspace: &Workspace,
    ids: &[String],
    every: bool,
) -> anyhow::Result<Vec<&'static Item>> {
    if every || ids.is_empty() {
        return Ok(all(workspace));
    }
    let mut chosen: Vec<&'static Item> = Vec::new();
    for id in ids {
        let item = find(workspace, id)?;
        if !chosen.iter().any(|other| other.id == item.id) {
            chosen.push(item);
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{Absent, InputArguments, Inputs};

    use crate::profile::Profile;
    use crate::settings::SettingsFile;
    use icl_model::device::Device;
    use icl_numerics::lanes::Isa;

    #[test]
    fn every_item_has_a_unique_id_and_settings_from_which_it_plans_in_every_profile() {
        let workspace = Workspace::find(None).unwrap();
        for (i, item) in BUILT_IN.iter().enumerate() {
            assert!(BUILT_IN[..i].iter().all(|other| other.id != item.id));
            let file = SettingsFile::read(&workspace.settings(item.id)).unwrap();
            for profile in Profile::ALL.into_iter().filter(|profile| file.is_of(*profile)) {
                // at least one cell, and no two of the same name, unless others' files are wanted
                let inputs = Inputs::new(&workspace, &InputArguments::default()).unwrap();
                let device = Device::Cpu(Isa::detect());
                let context = Context { profile, device, inputs: &inputs };
                if let Err(error) = crate::item::plan(item, &file, context) {
                    assert!(error.is::<Absent>(), "{}: {error:#}", item.id);
                }
            }
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known: Vec<&str> = BUILT_IN.iter().map(|item| item.id).collect();
        for (id, expected) in [
            ("fig3", Some("fig3-linear")),
            ("fig1", Some("fig1-dual-scheme")),
            ("branches", Some("ext-branches")),
            ("fig3-liner", Some("fig3-linear")),
            ("ext-serach", Some("ext-search")),
            ("tab1", Some("tab1-glue")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(meant(&known, id), expected, "{id}");
        }
    }

    #[test]
    fn names_that_are_no_items_are_passed_over_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let experiments = dir.path().join("experiments");
        std::fs::create_dir_all(experiments.join("folder.toml")).unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "").unwrap();
        for name in ["._fig3-linear.toml", "own.toml", "two words.toml", "-x.toml", "notes.txt"] {
            std::fs::write(experiments.join(name), [0, 5, 22, 7]).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("me@host.1:1", experiments.join("gone.toml")).unwrap();
        let workspace = Workspace::find(Some(dir.path())).unwrap();
        let items = all(&workspace);
        assert_eq!(items.len(), BUILT_IN.len() + 1);
        assert_eq!(items.last().unwrap().id, "own");
        let texts = passed_over(&workspace);
        for name in ["._fig3-linear.toml", "folder.toml", "two words.toml", "-x.toml"] {
            assert!(texts.iter().any(|text| text.contains(name)), "{name}: {texts:?}");
        }
    }
}
