//! Whole layers and stacks: layer-wise duals composed reproduce candle's forward pass.

mod drawing;

use crate::item::{Context, Item, Outputs, Plan};
use crate::named::Named as _;
use crate::settings::SettingsFile;
use crate::views::masking::Masking;
use crate::views::precision::Precision;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::claim::{Claim, Place, at_most};
use artifact::table::{ColumnType, Table};
use candle_core::{DType, Device, Tensor};
use dual_model::head::HeadMatrices;
use dual_model::transformer::{LayerWeights, predict_stack};
use dual_model::{Matrix, Real};
use icl_model::attention::{LayerShape, Weights};
use icl_model::reference::TransformerLayer;
use icl_model::reference::transformer::forward_stack;
use icl_numerics::lanes::Isa;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-stacks",
    paper: "beyond the paper",
    claim: "Duals of layers with feed-forward, residual paths and LayerNorm compose to the whole stack",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    depth: usize,
    d: usize,
    hidden: usize,
    n_heads: usize,
    n_tokens: usize,
    n_demos: usize,
    epsilon: f64,
    seeds: u64,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    for (field, found, high) in [
        ("depth", settings.depth, 48),
        ("d", settings.d, 512),
        ("hidden", settings.hidden, 4096),
        ("n_heads", settings.n_heads, 64),
        ("n_tokens", settings.n_tokens, 4096),
    ] {
        if found == 0 || found > high {
            return Err(file.refuse(field, &found.to_string(), &format!("1 to {high}")));
        }
    }
    let mut cells = Vec::new();
    for (precision, masking) in GROUPS {
        cells.extend((0..settings.seeds).map(|seed| cell(&settings, precision, masking, seed)));
    }
    Ok(Plan::new(cells, |results| assemble(&results.all())))
}

fn cell(settings: &Settings, precision: Precision, masking: Masking, seed: u64) -> Cell {
    let settings = settings.clone();
    let (dtype, mask) = (precision.name(), masking.name());
    Cell::new(
        format!("{dtype}/{mask}/{seed}"),
        settings.depth as f64 * 0.2,
        json!({
            "kind": "stacks/1", "settings": settings, "dtype": dtype, "mask": mask, "seed": seed
        }),
        vec![
            ("dtype".into(), ColumnType::Text),
            ("mask".into(), ColumnType::Text),
            ("seed".into(), ColumnType::Integer),
            ("depth".into(), ColumnType::Integer),
            ("difference".into(), ColumnType::Float),
        ],
        move |_| {
            let found = match precision {
                Precision::F64 => differences::<f64>(&settings, precision.dtype(), masking, seed)?,
                Precision::F32 => differences::<f32>(&settings, precision.dtype(), masking, seed)?,
            };
            let n = found.len();
            let table = Table::builder("stacks")
                .texts("dtype", &vec![dtype; n])
                .texts("mask", &vec![mask; n])
                .integers("seed", vec![seed as i64; n])
                .integers("depth", (1..=n as i64).collect())
                .floats("difference", found)
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// Arrays of one layer by name.
fn arrays(s: &Settings, seed: u64, layer: usize) -> Vec<(&'static str, Vec<usize>, Vec<f64>)> {
    let array = |name: &'static str, shape: Vec<usize>, sd: f64| {
        let stream = Stream::new(seed, &format!("stacks/{layer}/{name}"));
        let mut draws = stream.sample(0);
        let values = (0..shape.iter().product()).map(|_| sd * draws.normal()).collect();
        (name, shape, values)
    };
    let (d, sd) = (s.d, 1.0 / (s.d as f64).sqrt());
    let heads = vec![s.n_heads, d, d];
    vec![
        array("w_q", heads.clone(), sd),
        array("w_k", heads.clone(), sd),
        array("w_v", heads, sd),
        array("w_1", vec![s.hidden, d], sd),
        array("b_1", vec![s.hidden], 0.3),
        array("w_2", vec![d, s.hidden], 1.0 / (s.hidden as f64).sqrt()),
        array("b_2", vec![d], 0.3),
    ]
}

fn candle_layer(
    s: &Settings,
    seed: u64,
    layer: usize,
    dtype: DType,
) -> anyhow::Result<TransformerLayer> {
    let tensor = |(name, shape, values): (&str, Vec<usize>, Vec<f64>)| {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?;
        anyhow::Ok((name.to_owned(), tensor))
    };
    let tensors: Vec<_> =
        arrays(s, seed, layer).into_iter().map(tensor).collect::<anyhow::Result<_>>()?;
    let weights = Weights::new(tensors, dtype, &Device::Cpu, Isa::Portable);
    let shape = LayerShape { d: s.d, n_heads: s.n_heads };
    let modification = icl_model::attention::parse("plain")?.into();
    let layer_norm = Some(s.epsilon);
    let d_ff = s.hidden;
    Ok(TransformerLayer { shape, d_ff, modification, weights, residual: true, layer_norm })
}

fn dual_layer<R: Real>(s: &Settings, seed: u64, layer: usize) -> anyhow::Result<LayerWeights<R>> {
    let arrays: BTreeMap<&str, Vec<R>> = arrays(s, seed, layer)
        .into_iter()
        .map(|(name, _, values)| (name, values.into_iter().map(R::from_f64).collect()))
        .collect();
    let d = s.d;
    let [w_q, w_k, w_v] = ["w_q", "w_k", "w_v"].map(|name| &arrays[name]);
    Ok(LayerWeights {
        heads: HeadMatrices::of_heads(d, w_q, w_k, w_v)?,
        w_1: Matrix::new(s.hidden, d, arrays["w_1"].clone())?,
        b_1: arrays["b_1"].clone(),
        w_2: Matrix::new(d, s.hidden, arrays["w_2"].clone())?,
        b_2: arrays["b_2"].clone(),
        residual: true,
        layer_norm: Some(R::from_f64(s.epsilon)),
    })
}

/// Relative difference after every layer.
fn differences<R: Real>(
    s: &Settings,
    dtype: DType,
    masking: Masking,
    seed: u64,
) -> anyhow::Result<Vec<f64>> {
    let stream = Stream::new(seed, "stacks/tokens");
    let mut draws = stream.sample(0);
    let values: Vec<f64> = (0..s.n_tokens * s.d).map(|_| draws.normal()).collect();
    let (candle_mask, visibility) = masking.of(s.n_tokens);
    let layers: Vec<_> =
        (0..s.depth).map(|l| candle_layer(s, seed, l, dtype)).collect::<Result<_, _>>()?;
    let tokens =
        Tensor::from_slice(&values, (1, s.n_tokens, s.d), &Device::Cpu)?.to_dtype(dtype)?;
    let theirs = forward_stack(&layers, &tokens, s.n_demos, &candle_mask)?;
    let layers: Vec<_> =
        (0..s.depth).map(|l| dual_layer::<R>(s, seed, l)).collect::<Result<_, _>>()?;
    let own = values.iter().map(|x| R::from_f64(*x)).collect();
    let ours = predict_stack(&layers, &Matrix::new(s.n_tokens, s.d, own)?, s.n_demos, visibility)?;
    ours.iter()
        .zip(&theirs)
        .map(|(ours, theirs)| {
            let theirs: Vec<f64> = theirs.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
            Ok(crate::views::layer_pair::difference(std::slice::from_ref(ours), &theirs))
        })
        .collect()
}

/// Precision and mask of the curves.
const GROUPS: [(Precision, Masking); 4] = [
    (Precision::F64, Masking::None),
    (Precision::F64, Masking::Causal),
    (Precision::F32, Masking::None),
    (Precision::F32, Masking::Causal),
];

fn assemble(results: &[&Table]) -> anyhow::Result<Outputs> {
    let table = Table::stack("differences", results.iter().copied())?;
    let (claims, figure, growth) = (claims(&table)?, drawing::figure(&table)?, growth(&table)?);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new()), (growth, BTreeMap::new())],
        figures: vec![(figure, vec!["differences"])],
        claims,
    })
}

/// Largest difference at every depth from 1, for a precision and, if given, a mask.
fn by_depth(
    table: &Table,
    precision: Precision,
    masking: Option<Masking>,
) -> anyhow::Result<Vec<f64>> {
    let (dtypes, masks) = (table.texts("dtype")?, table.texts("mask")?);
    let (depths, differences) = (table.integers("depth")?, table.floats("difference")?);
    let deepest = depths.iter().max().copied().context("an empty table of differences")?;
    let at = |depth: i64| {
        let rows = (0..depths.len()).filter(|i| {
            dtypes[*i] == precision.name()
                && depths[*i] == depth
                && masking.is_none_or(|masking| masks[*i] == masking.name())
        });
        largest::value(rows.map(|i| differences[i]))
    };
    Ok((1..=deepest).map(at).collect())
}

fn claims(table: &Table) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for (precision, one, twelve) in [(Precision::F64, 1e-12, 1e-10), (Precision::F32, 1e-5, 1e-3)] {
        let errors = by_depth(table, precision, None)?;
        let dtype = precision.name();
        let up_to = |depth: usize| largest::value(errors.iter().take(depth).copied());
        let name = format!("one-{dtype}");
        let statement = format!("One layer's dual equals the layer in {dtype}");
        claims.push(at_most(
            Place { item: ITEM.id, claim: &name, table: "differences" },
            &statement,
            up_to(1),
            one,
        ));
        let name = format!("twelve-{dtype}");
        let statement = format!("Composed duals equal the stack up to depth 12 in {dtype}");
        claims.push(at_most(
            Place { item: ITEM.id, claim: &name, table: "differences" },
            &statement,
            up_to(12),
            twelve,
        ));
    }
    Ok(claims)
}

/// Least-squares slope of `log10(difference)` against depth, per precision and mask.
fn growth(table: &Table) -> anyhow::Result<Table> {
    let (dtypes, masks) = (table.texts("dtype")?, table.texts("mask")?);
    let (depths, differences) = (table.numbers("depth")?, table.floats("difference")?);
    let of = |(precision, masking): (Precision, Masking)| {
        let own = |i: &usize| dtypes[*i] == precision.name() && masks[*i] == masking.name();
        (0..depths.len()).filter(own).collect::<Vec<usize>>()
    };
    let slope = |group| {
        let rows: Vec<usize> = of(group).into_iter().filter(|i| differences[*i] > 0.0).collect();
        let x: Vec<f64> = rows.iter().map(|i| depths[*i]).collect();
        let y: Vec<f64> = rows.iter().map(|i| math::log10(differences[*i])).collect();
        artifact::statistics::slope(&x, &y)
    };
    let mean = |group| {
        let values: Vec<f64> = of(group).into_iter().map(|i| differences[i]).collect();
        order::sum(&values) / values.len().max(1) as f64
    };
    let table = Table::builder("growth")
        .texts("dtype", &GROUPS.map(|g| g.0.name()))
        .texts("mask", &GROUPS.map(|g| g.1.name()))
        .floats("log10_per_layer", GROUPS.into_iter().map(slope).collect())
        .floats("mean_difference", GROUPS.into_iter().map(mean).collect())
        .build()?;
    Ok(table)
}
