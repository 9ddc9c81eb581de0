//! The whole way from text to scores on a stand-in for GLUE: sentences of a seeded grammar, pre-training on masked words,
//! a model's files, its tokenizer, fine-tuning with every kind of modification, GLUE's metrics.
//!
//! The sets are GLUE's questions about the grammar's sentences ([`icl_glue::grammar`]), not GLUE.

mod claims;
mod drawing;
mod run;
mod settings;
mod tables;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use settings::Settings;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-grammar-glue",
    paper: "beyond the paper: Table 1 on a stand-in",
    claim: "Stand-in, not GLUE: on a seeded grammar, a BERT learns four tasks beyond the counts of words; what the modifications change",
    plan: &plan,
};

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed::<Settings>(context.profile)?.checked(file)?;
    let cells = run::cells(&settings, context.device);
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let curve = results.get(run::PRETRAINING)?.clone();
    let scores = tables::scores(settings, results)?;
    let samples = tables::samples(settings, &scores)?;
    let summary = tables::summary(&samples)?;
    let against = tables::against_plain(settings, &samples)?;
    let comparison = tables::comparison(&against)?;
    let mut all_claims = vec![claims::masked_words(settings, &curve)?];
    all_claims.extend(claims::above_floors(settings, &samples)?);
    all_claims.extend(claims::comparisons(&against));
    let figure = drawing::figure(settings, &samples)?;
    let tables = [curve, scores, summary, comparison];
    Ok(Outputs {
        tables: tables.into_iter().map(|table| (table, BTreeMap::new())).collect(),
        figures: vec![(figure, vec!["scores"])],
        claims: all_claims,
    })
}
