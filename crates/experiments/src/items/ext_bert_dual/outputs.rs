//! Tables, figure and claims.

use super::{ITEM, NUMBERS, cell_name};
use crate::item::Outputs;
use crate::views::precision::Precision;
use artifact::cell::Results;
use artifact::claim::{Claim, Place, at_least, at_most};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::table::Table;
use icl_numerics::{largest, math, order};
use std::collections::BTreeMap;

/// The table of all heads.
const HEADS: &str = "heads";
/// The table of the models.
const MODELS: &str = "models";

pub(super) fn assemble(models: &[String], results: &Results) -> anyhow::Result<Outputs> {
    let heads = heads(models, results)?;
    let summary = summary(models, &heads)?;
    let (claims, figure) = (claims(&heads)?, figure(models, &heads)?);
    Ok(Outputs {
        tables: vec![(heads, BTreeMap::new()), (summary, BTreeMap::new())],
        figures: vec![(figure, vec![HEADS])],
        claims,
    })
}

/// Every head of every model: differences in both precisions, sizes in `f64`.
fn heads(models: &[String], results: &Results) -> anyhow::Result<Table> {
    let tables = |precision| results.each(models.iter().map(|name| cell_name(name, precision)));
    let (double, single) = (tables(Precision::F64)?, tables(Precision::F32)?);
    let floats = |tables: &[&Table], column: &str| -> anyhow::Result<Vec<f64>> {
        let parts = tables.iter().map(|table| table.floats(column));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    };
    let integers = |column: &str| -> anyhow::Result<Vec<i64>> {
        let parts = double.iter().map(|table| table.integers(column));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    };
    let mut names = Vec::new();
    for (name, table) in models.iter().zip(&double) {
        names.extend(vec![name.as_str(); table.integers("layer")?.len()]);
    }
    let mut builder = Table::builder(HEADS)
        .texts("model", &names)
        .integers("layer", integers("layer")?)
        .integers("head", integers("head")?)
        .integers("tokens", integers("tokens")?);
    // the first three depend on the precision
    let (of_precision, sizes) = NUMBERS.split_at(3);
    for (tables, precision) in [(&double, "f64"), (&single, "f32")] {
        for (column, _) in of_precision {
            builder = builder.floats(&format!("{column}_{precision}"), floats(tables, column)?);
        }
    }
    for (column, _) in sizes {
        builder = builder.floats(column, floats(&double, column)?);
    }
    Ok(builder.build()?)
}

/// The numbers of a column in the rows of a model.
fn of_model(heads: &Table, model: &str, column: &str) -> anyhow::Result<Vec<f64>> {
    let names = heads.texts("model")?;
    let pairs = names.iter().zip(heads.numbers(column)?);
    Ok(pairs.filter(|(name, _)| *name == model).map(|(_, x)| x).collect())
}

/// One row for every model.
fn summary(models: &[String], heads: &Table) -> anyhow::Result<Table> {
    let each = |column: &str, f: fn(Vec<f64>) -> f64| -> anyhow::Result<Vec<f64>> {
        models.iter().map(|model| Ok(f(of_model(heads, model, column)?))).collect()
    };
    let count = |column: &str| -> anyhow::Result<Vec<i64>> {
        Ok(each(column, largest::value)?.into_iter().map(|x| x as i64).collect())
    };
    let top = |x: Vec<f64>| largest::value(x);
    let least = |x: Vec<f64>| largest::least(x);
    let mean = |x: Vec<f64>| order::mean(&x).unwrap_or(f64::NAN);
    let table = Table::builder(MODELS)
        .texts("model", models)
        .integers("layers", count("layer")?.into_iter().map(|last| last + 1).collect())
        .integers("heads", count("head")?.into_iter().map(|last| last + 1).collect())
        .integers("tokens", count("tokens")?)
        .floats("relative_difference_f64", each("relative_difference_f64", top)?)
        .floats("relative_difference_f32", each("relative_difference_f32", top)?)
        .floats("mean_share", each("share", mean)?)
        .floats("least_share", each("share", least)?)
        .floats("largest_logit", each("largest_logit", top)?)
        .floats("largest_key", each("largest_key", top)?)
        .floats("least_log10_features", each("log10_features", least)?)
        .floats("mean_log10_features", each("log10_features", mean)?)
        .floats("largest_log10_features", each("log10_features", top)?)
        .build()?;
    Ok(table)
}

fn claims(heads: &Table) -> anyhow::Result<Vec<Claim>> {
    let place = |claim| Place { item: ITEM.id, claim, table: HEADS };
    let worst = |column: &str| anyhow::Ok(largest::value(heads.floats(column)?));
    let fewest = largest::least(heads.floats("log10_features")?);
    Ok(vec![
        at_most(
            place("f64"),
            "Every head's duals equal its attention in f64, relative to the head's largest output",
            worst("relative_difference_f64")?,
            1e-12,
        ),
        at_most(
            place("f32"),
            "Every head's duals equal its attention in f32, relative to the head's largest output",
            worst("relative_difference_f32")?,
            1e-5,
        ),
        at_least(
            place("features"),
            "Positive features for a kernel entry within 10 % at the mean z, in the head that needs the fewest",
            math::powf(10.0, fewest),
            1000.0,
        ),
    ])
}

/// Layers by heads: what comes from the others, how large queries and keys stand to each other, what features need.
fn figure(models: &[String], heads: &Table) -> anyhow::Result<Figure> {
    let measures = [("share", "share"), ("mean_z", "mean z"), ("log10_features", "log₁₀ m")];
    let mut panels = Vec::new();
    for model in models {
        let columns = 1 + largest::value(of_model(heads, model, "head")?) as usize;
        for (column, title) in measures {
            // one scale for all models; shares lie close to each other
            let all = heads.floats(column)?;
            let low = if column == "share" { largest::least(all.clone()) } else { 0.0 };
            panels.push(Panel::Heat(HeatPanel {
                title: format!("{model}, {title}"),
                x_label: "head".into(),
                y_label: "layer".into(),
                columns,
                entries: of_model(heads, model, column)?,
                range: [low, largest::value(all)],
                names: [vec![], vec![]],
            }));
        }
    }
    let tokens = largest::value(heads.numbers("tokens")?);
    Ok(Figure {
        id: ITEM.id.into(),
        columns: measures.len(),
        shares: vec![],
        panel_height: 146.0,
        panels,
        caption: format!(
            "Every head (columns) of every layer (rows, the first on top) of pretrained BERTs on real \
             sentences ({tokens} tokens). Left: norm of what the other tokens add to a token's output over that of the \
             whole, mean over tokens. Middle: mean z = |q + k|² over pairs of tokens. Right: log10 of the positive \
             features with which a kernel entry of that z has a relative error of 10 %, (exp(z) − 1) / 0.01. One scale \
             for all models. No seeds: nothing is drawn."
        ),
    })
}
