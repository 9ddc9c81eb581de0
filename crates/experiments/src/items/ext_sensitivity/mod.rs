//! What would change if the paper's gaps were filled otherwise: one gap at a time, from a settings file that says of
//! every variation what sources say, what the base has and what is tried.

mod cell;
mod effects;
pub(crate) mod outputs;
pub(crate) mod settings;

use crate::cells::references::{self, ReferenceSettings};
use crate::item::{Context, Item, Plan};
use crate::settings::SettingsFile;
use settings::{PLAIN, Settings};

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-sensitivity",
    paper: "beyond the paper",
    claim: "Trained layers equal the duals of their modified losses however the gaps are filled; which modifications \
            help depends on how",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context)?;
    let mut cells = Vec::new();
    for (name, variation) in settings.variations() {
        if variation.has_own_plain() {
            let train = settings
                .train(variation, PLAIN, 0)
                .map_err(|e| file.refuse(name, &format!("{e:#}"), "a training in range"))?;
            let references = ReferenceSettings { train, n_final: settings.n_final, floor: false };
            cells.push(references::cell(cell::references(name), references, context.device));
        }
        for modification in settings.runs(variation) {
            for seed in 0..settings.seeds {
                let train = settings
                    .train(variation, modification, seed)
                    .map_err(|e| file.refuse(name, &format!("{e:#}"), "a training in range"))?;
                let sizes = [settings.n_final, settings.prompts];
                let name = cell::name(name, modification, seed);
                cells.push(cell::cell(name, train, sizes, context.device));
            }
        }
    }
    Ok(Plan::new(cells, move |results| outputs::assemble(&settings, results)))
}
