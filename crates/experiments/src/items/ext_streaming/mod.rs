//! Causal order as a stream: one pass of dual updates yields the output of every token.

mod drawing;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::layer_pair::{LayerPair, difference};
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::claim::{Place, at_most};
use artifact::table::{ColumnType, Table};
use candle_core::DType;
use dual_model::Matrix;
use dual_model::dual::KeyValue;
use dual_model::feature_map::{Positive, gaussian_rows};
use dual_model::head::Head;
use dual_model::shared::{SharedDual, SharedFeatureDual};
use icl_model::kernel::{Kernel, Omegas};
use icl_model::mask::Mask;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-streaming",
    paper: "beyond the paper",
    claim: "One pass of dual updates yields every causal output; with features the state does not grow",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_tokens: Vec<usize>,
    d: usize,
    n_heads: usize,
    d_r: usize,
    logit_sd: f64,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let longest = settings.n_tokens.iter().max().copied().unwrap_or(0);
    let sizes = [settings.d, settings.n_heads, settings.d_r];
    if !(1..=4096).contains(&longest) || sizes.iter().any(|x| !(1..=4096).contains(x)) {
        let found = format!("{longest}, {sizes:?}");
        return Err(file.refuse("n_tokens, d, n_heads, d_r", &found, "1 to 4096 each"));
    }
    let cells =
        settings.n_tokens.iter().map(|n| cell(&settings, *n, context.device.isa())).collect();
    Ok(Plan::new(cells, |results| assemble(&results.all())))
}

fn cell(settings: &Settings, n_tokens: usize, isa: Isa) -> Cell {
    let settings = settings.clone();
    let Settings { d, n_heads, d_r, logit_sd, .. } = settings;
    let floats = ["exact", "features"].map(|name| (name.to_owned(), ColumnType::Float));
    let integers = ["n_tokens", "exact_bytes", "feature_bytes"];
    let mut schema: Vec<_> =
        integers.map(|name| (name.to_owned(), ColumnType::Integer)).into_iter().collect();
    schema.extend(floats);
    Cell::new(
        format!("{n_tokens} tokens"),
        (n_tokens * n_tokens * d_r) as f64 / 1e7,
        json!({
            "kind": "streaming/1", "n_tokens": n_tokens, "d": d, "n_heads": n_heads, "d_r": d_r,
            "logit_sd": logit_sd
        }),
        schema,
        move |_| measure(&settings, n_tokens, isa),
    )
}

fn measure(settings: &Settings, n_tokens: usize, isa: Isa) -> anyhow::Result<Table> {
    let pair = LayerPair {
        seed: 0,
        d: settings.d,
        n_heads: settings.n_heads,
        n_tokens,
        n_demos: n_tokens,
        logit_sd: settings.logit_sd,
    };
    let heads = pair.heads::<f64>()?;
    let omegas = gaussian_rows(&Stream::new(0, "streaming/omega"), settings.d_r, settings.d);
    let rows = Omegas::new(omegas.concat(), settings.d);
    let map = Positive::new(omegas);
    let mut exact_bytes = 0;
    let mut feature_bytes = 0;
    let (mut exact, mut features) = (Vec::new(), Vec::new());
    for head in &heads {
        let mut dual = SharedDual::new(settings.d, settings.d).on(isa);
        exact.push(stream(head, |pair, query| {
            dual.step(pair)?;
            Ok(dual.predict(query)?)
        })?);
        exact_bytes += dual.bytes();
        let mut state = SharedFeatureDual::new(&map, settings.d, settings.d);
        features.push(stream(head, |pair, query| {
            state.step(pair)?;
            Ok(state.predict(query)?)
        })?);
        feature_bytes += state.bytes();
    }
    let softmax = pair.attention(DType::F64, &Mask::Causal, &Kernel::Softmax)?;
    let positive = pair.attention(DType::F64, &Mask::Causal, &Kernel::Positive(rows))?;
    let table = Table::builder("streaming")
        .integers("n_tokens", vec![n_tokens as i64])
        .integers("exact_bytes", vec![exact_bytes as i64])
        .integers("feature_bytes", vec![feature_bytes as i64])
        .floats("exact", vec![difference(&exact, &softmax)])
        .floats("features", vec![difference(&features, &positive)])
        .build()?;
    Ok(table)
}

/// The answer to every token's query right after the update with its key and value.
fn stream(
    head: &Head,
    mut update: impl FnMut(KeyValue<'_>, &[f64]) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Matrix> {
    let mut entries = Vec::with_capacity(head.values.entries().len());
    for i in 0..head.n_tokens() {
        entries.extend(update(head.key_value(i), head.queries.row(i))?);
    }
    Ok(Matrix::new(head.n_tokens(), head.values.columns(), entries)?)
}

fn assemble(results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("streaming", results.iter().copied())?;
    let of_column =
        |column: &str| -> anyhow::Result<f64> { Ok(largest::value(table.floats(column)?)) };
    let bytes = table.integers("feature_bytes")?;
    let growth = bytes.iter().max().zip(bytes.iter().min()).map(|(most, least)| most - least);
    let growth = growth.context("an empty table of streams")?;
    let place = |name| Place { item: ITEM.id, claim: name, table: "streaming" };
    let claims = vec![
        at_most(
            place("exact"),
            "The stream of the exact dual equals causal softmax attention",
            of_column("exact")?,
            1e-12,
        ),
        at_most(
            place("features"),
            "The stream of the feature dual equals causal feature attention",
            of_column("features")?,
            1e-12,
        ),
        at_most(
            place("state"),
            "Bytes by which the feature dual's state grows from the shortest to the longest stream",
            growth as f64,
            0.0,
        ),
    ];
    let figure = drawing::figure(&table)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["streaming"])],
        claims,
    })
}
