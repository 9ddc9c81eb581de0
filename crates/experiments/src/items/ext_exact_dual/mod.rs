//! The exact dual over every query, head, mask and precision, and one dual for all queries.
//!
//! Random layers, logits up to about eighty. Every configuration compares candle's layer with the dual of
//! each query and with the query-independent dual, whose coefficients are hashed before and after it
//! answers every query.

mod drawing;

use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::settings::SettingsFile;
use crate::views::layer_pair::{LayerPair, difference};
use crate::views::masking::Masking;
use crate::views::precision::Precision;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::claim::{Place, at_most};
use artifact::digest::sha256;
use artifact::table::{ColumnType, Schema, Table};
use candle_core::DType;
use dual_model::head::Head;
use dual_model::sequence::{Visibility, exact_predictions};
use dual_model::shared::SharedDual;
use dual_model::{Matrix, Real};
use icl_model::kernel::Kernel;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-exact-dual",
    paper: "beyond the paper",
    claim: "The dual equals softmax attention for every query, head and mask in f64 and f32, and one set of \
         coefficients serves all queries",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    configurations: usize,
    n_demos: Vec<usize>,
    d: Vec<usize>,
    logit_sd: Vec<f64>,
    masks: Vec<Masking>,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let limit = settings.n_demos.iter().chain(&settings.d).max().copied().unwrap_or(0);
    if limit > 4096 {
        return Err(file.refuse("n_demos, d", &limit.to_string(), "at most 4096"));
    }
    let mut cells = Vec::new();
    for precision in Precision::ALL {
        for masking in &settings.masks {
            cells
                .extend(settings.n_demos.iter().map(|n| cell(&settings, *precision, *masking, *n)));
        }
    }
    Ok(Plan::new(cells, |results| assemble(&results.all())))
}

fn schema() -> Schema {
    vec![
        ("dtype".into(), ColumnType::Text),
        ("mask".into(), ColumnType::Text),
        ("n_demos".into(), ColumnType::Integer),
        ("configurations".into(), ColumnType::Integer),
        ("per_query_dual".into(), ColumnType::Float),
        ("shared_dual".into(), ColumnType::Float),
        ("coefficient_sets".into(), ColumnType::Integer),
    ]
}

fn cell(settings: &Settings, precision: Precision, masking: Masking, n_demos: usize) -> Cell {
    let settings = settings.clone();
    let (dtype, mask) = (precision.name(), masking.name());
    Cell::new(
        format!("{dtype}/{mask}/{n_demos}"),
        settings.configurations as f64 * (n_demos + 4) as f64 * (n_demos + 4) as f64 / 1e5,
        json!({
            "kind": "exact-dual/1", "settings": settings, "dtype": dtype, "mask": mask,
            "n_demos": n_demos
        }),
        schema(),
        move |_| {
            let worst = match precision {
                Precision::F64 => worst::<f64>(&settings, precision.dtype(), masking, n_demos)?,
                Precision::F32 => worst::<f32>(&settings, precision.dtype(), masking, n_demos)?,
            };
            let table = Table::builder("exact-dual")
                .texts("dtype", &[dtype])
                .texts("mask", &[mask])
                .integers("n_demos", vec![n_demos as i64])
                .integers("configurations", vec![settings.configurations as i64])
                .floats("per_query_dual", vec![worst.own])
                .floats("shared_dual", vec![worst.shared])
                .integers("coefficient_sets", vec![worst.sets])
                .build()?;
            anyhow::Ok(table)
        },
    )
}

struct Worst {
    own: f64,
    shared: f64,
    sets: i64,
}

/// The largest relative differences over the configurations.
fn worst<R: Real>(
    settings: &Settings,
    dtype: DType,
    masking: Masking,
    n_demos: usize,
) -> anyhow::Result<Worst> {
    let stream = Stream::new(0, &format!("exact-dual/{}/{n_demos}", masking.name()));
    let mut worst = Worst { own: 0.0, shared: 0.0, sets: 1 };
    for i in 0..settings.configurations {
        let mut draws = stream.sample(i as u64);
        let mut choose = |n: usize| draws.below(n as u64) as usize;
        let d = settings.d[choose(settings.d.len())];
        let logit_sd = settings.logit_sd[choose(settings.logit_sd.len())];
        let (n_heads, side) = (1 + choose(3), 1 + choose(3));
        let n_tokens = n_demos + side;
        let pair = LayerPair { seed: i as u64, d, n_heads, n_tokens, n_demos, logit_sd };
        let (mask, visibility) = masking.of(n_tokens);
        let attention = pair.attention(dtype, &mask, &Kernel::Softmax)?;
        let heads = pair.heads::<R>()?;
        let own: Vec<Matrix<R>> = heads
            .iter()
            .map(|head| exact_predictions(head, n_demos, visibility))
            .collect::<Result<_, _>>()?;
        worst.own = largest::value([worst.own, difference(&own, &attention)]);
        let mut shared = Vec::new();
        for head in &heads {
            let (prediction, sets) = shared_dual(head, visibility)?;
            worst.sets = worst.sets.max(sets);
            shared.push(prediction);
        }
        worst.shared = largest::value([worst.shared, difference(&shared, &attention)]);
    }
    Ok(worst)
}

/// Predictions of one dual for all queries, and the number of distinct coefficient sets seen.
fn shared_dual<R: Real>(
    head: &Head<R>,
    visibility: Visibility,
) -> anyhow::Result<(Matrix<R>, i64)> {
    let mut dual = SharedDual::new(head.keys.columns(), head.values.columns());
    head.key_values(0..head.n_tokens()).into_iter().try_for_each(|pair| dual.step(pair))?;
    let digest = |dual: &SharedDual<R>| {
        let bytes: Vec<u8> =
            dual.coefficients().iter().flat_map(|x| x.to_f64().to_le_bytes()).collect();
        sha256(&bytes)
    };
    let before = digest(&dual);
    let prediction = dual.predict_all(&head.queries, visibility)?;
    let sets = if digest(&dual) == before { 1 } else { 2 };
    Ok((prediction, sets))
}

fn assemble(results: &[&Table]) -> anyhow::Result<Outputs> {
    let id = ITEM.id;
    let table = Table::stack("differences", results.iter().copied())?;
    let dtypes = table.texts("dtype")?;
    let (own, shared) = (table.floats("per_query_dual")?, table.floats("shared_dual")?);
    let of_dtype = |values: &[f64], dtype: &str| {
        let of = values.iter().zip(&dtypes).filter(|(_, t)| *t == dtype);
        largest::value(of.map(|(x, _)| *x))
    };
    let sets = table.integers("coefficient_sets")?.into_iter().max().context("no cell")?;
    let place = |name| Place { item: id, claim: name, table: "differences" };
    let claims = vec![
        at_most(
            place("f64"),
            "Every query's dual equals attention in f64",
            of_dtype(&own, "f64"),
            1e-12,
        ),
        at_most(
            place("f32"),
            "Every query's dual equals attention in f32",
            of_dtype(&own, "f32"),
            1e-5,
        ),
        at_most(
            place("shared-f64"),
            "One dual for all queries equals attention in f64",
            of_dtype(&shared, "f64"),
            1e-12,
        ),
        at_most(
            place("shared-f32"),
            "One dual for all queries equals attention in f32",
            of_dtype(&shared, "f32"),
            1e-5,
        ),
        at_most(
            place("coefficients"),
            "Distinct sets of coefficients over all queries (by hash)",
            sets as f64,
            1.0,
        ),
    ];
    let figure = drawing::figure(&table)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["differences"])],
        claims,
    })
}
