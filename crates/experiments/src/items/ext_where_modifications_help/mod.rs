//! Where can a modification of attention help? Label noise x demonstrations per dimension x modification.

mod claims;
mod drawing;
mod family;
mod outputs;
mod reference;
mod settings;
mod tables;

use crate::cells::{training, transformer};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use settings::{Kind, PLAIN, Settings};
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-where-modifications-help",
    paper: "beyond the paper",
    claim: "Which modification of attention helps, by label noise, number of demonstrations and what stands in the \
         place of the query's label",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings = Settings::read(file, context)?;
    let mut cells = Vec::new();
    for kind in Kind::ALL {
        for place in settings.places(kind) {
            if kind != Kind::Layer || settings.masked.is_empty() {
                cells.push(reference::cell(&settings, &place, context.device));
            }
            let names = std::iter::once(PLAIN);
            for name in names.chain(settings.modifications(kind).iter().map(String::as_str)) {
                for seed in 0..settings.seeds {
                    let run = place.run_name(name, seed);
                    let cell = if kind == Kind::Layer {
                        let stack = settings.stack(&place, name, seed);
                        transformer::training_cell(run, stack, settings.n_final, context.device)
                    } else {
                        let train = settings.train(&place, name, seed);
                        training::cell(run, train, settings.n_final, context.device)
                    };
                    let refuse =
                        |e: anyhow::Error| file.refuse("training", &e.to_string(), "in range");
                    cells.push(cell.map_err(refuse)?);
                }
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let groups = outputs::collect(settings, results)?;
    let figure = drawing::figure(settings, &groups);
    let tables = vec![
        tables::finals(&groups)?,
        tables::comparisons(&groups)?,
        tables::places(&groups)?,
        tables::references(&groups)?,
    ];
    Ok(Outputs {
        tables: tables.into_iter().map(|table| (table, BTreeMap::new())).collect(),
        figures: vec![(figure, vec!["comparisons"])],
        claims: claims::all(settings, &groups)?,
    })
}
