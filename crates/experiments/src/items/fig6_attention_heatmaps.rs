//! Attention matrices of one trained layer: exact, and with four numbers of random features.

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::heads;
use artifact::cell::{self, Cell};
use artifact::claim::{Claim, Place, at_most, sampled};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::statistics::interval;
use artifact::table::{ColumnType, Table};
use dual_model::Matrix;
use dual_model::feature_map::{FeatureMap as _, Positive, gaussian_rows};
use dual_model::head::Head;
use icl_model::device::Device;
use icl_model::prompt::PromptShape;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig6-attention-heatmaps",
    paper: "Appendix: attention matrices for four numbers of features, and exact",
    claim: "The matrix of random-feature attention approaches the exact one as features are added",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    d_t: usize,
    steps: usize,
    features: Vec<usize>,
    prompt: usize,
}

/// The cell and its table.
const WEIGHTS: &str = "weights";

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.features.len() < 2 || settings.features.iter().any(|m| *m == 0 || *m > 1 << 20) {
        let found = format!("{:?}", settings.features);
        return Err(file.refuse("features", &found, "at least two numbers, 1 to 1048576"));
    }
    if settings.prompt >= 4096 {
        return Err(file.refuse("prompt", &settings.prompt.to_string(), "0 to 4095"));
    }
    PromptShape::new(settings.n_demos, settings.d_t, 1)
        .map_err(|error| file.refuse("n_demos, d_t", &error.to_string(), "sizes in range"))?;
    let n = settings.n_demos + 1;
    let device = context.device;
    let cell = Cell::new(
        WEIGHTS,
        settings.steps as f64 / 100.0,
        json!({ "kind": "attention-heatmaps/1", "settings": settings }),
        vec![
            ("features".into(), ColumnType::Integer),
            ("query".into(), ColumnType::Integer),
            ("key".into(), ColumnType::Integer),
            ("weight".into(), ColumnType::Float),
        ],
        move |context| matrices(context, &settings, device),
    );
    Ok(Plan::new(vec![cell], move |results| assemble(n, results.get(WEIGHTS)?)))
}

/// Weights of every query and key; 0 features stand for the exact kernel.
fn matrices(
    context: &cell::Context<'_>,
    settings: &Settings,
    device: Device,
) -> anyhow::Result<Table> {
    let shape = PromptShape { n_demos: settings.n_demos, d_t: settings.d_t, d_s: 1 };
    let d = shape.d();
    let train = TrainSettings {
        prompt: shape,
        steps: settings.steps,
        validate_every: settings.steps.max(1),
        ..TrainSettings::base()
    };
    let layer = LayerTraining::new(train, &machine(device))?;
    let mut trainer = layer.trainer();
    trainer.run(&Kept::new(context)?)?;
    let tokens = layer.validation().prompt(settings.prompt).into_iter().map(f64::from).collect();
    let tokens = Matrix::new(shape.n_tokens(), d, tokens)?;
    let head = Head::project(&tokens, &heads::of_parameters(trainer.parameters(), d)?[0])?;
    let n = head.n_tokens();
    let (mut features, mut weights) = (Vec::new(), Vec::new());
    for m in std::iter::once(&0).chain(&settings.features) {
        let omegas = gaussian_rows(&Stream::new(0, "heatmaps/omega"), *m, d);
        let map = Positive::new(omegas);
        let kernel = |q: &[f64], k: &[f64]| match *m {
            0 => math::exp(order::dot(q, k)),
            _ => order::dot(&map.query_features(q), &map.key_features(k)),
        };
        for q in head.queries.iter_rows() {
            let row: Vec<f64> = head.keys.iter_rows().map(|k| kernel(q, k)).collect();
            let total = order::sum(&row);
            weights.extend(row.into_iter().map(|x| x / total));
            features.extend(vec![*m as i64; n]);
        }
    }
    let count = settings.features.len() + 1;
    let index = |f: fn(usize, usize) -> usize| -> Vec<i64> {
        (0..count * n * n).map(|i| f(i % (n * n), n) as i64).collect()
    };
    let table = Table::builder(WEIGHTS)
        .integers("features", features)
        .integers("query", index(|i, n| i / n))
        .integers("key", index(|i, n| i % n))
        .floats("weight", weights)
        .build()?;
    Ok(table)
}

fn assemble(n: usize, result: &Table) -> anyhow::Result<Outputs> {
    let id = ITEM.id;
    let table = result.clone().named(WEIGHTS);
    let (features, weights) = (table.integers("features")?, table.floats("weight")?);
    let matrices: Vec<(i64, &[f64])> = weights
        .chunks_exact(n * n)
        .zip(features.chunks_exact(n * n))
        .map(|(weights, features)| (features[0], weights))
        .collect();
    let exact = matrices[0].1;
    let error = |matrix: &[f64]| {
        let gaps: Vec<f64> = matrix.iter().zip(exact).map(|(a, b)| (a - b).abs()).collect();
        order::mean(&gaps).unwrap_or(0.0)
    };
    let errors: Vec<f64> = matrices[1..].iter().map(|(_, matrix)| error(matrix)).collect();
    let table_of_errors = Table::builder("errors")
        .integers("features", matrices[1..].iter().map(|(m, _)| *m).collect())
        .floats("mean_absolute_error", errors.clone())
        .build()?;
    let claims = vec![approach(n, exact, matrices[1].1, matrices[matrices.len() - 1].1)?];
    let top = largest::value(weights.iter().copied());
    let heat = |title: String, entries: Vec<f64>, range: [f64; 2]| {
        Panel::Heat(HeatPanel {
            title,
            x_label: "key".into(),
            y_label: "query".into(),
            columns: n,
            entries,
            range,
            names: [vec![], vec![]],
        })
    };
    let mut panels = vec![heat("exact".into(), exact.to_vec(), [0.0, top])];
    for (m, matrix) in &matrices[1..] {
        panels.push(heat(format!("d_r = {m}"), matrix.to_vec(), [0.0, top]));
    }
    let (m, last) = matrices[matrices.len() - 1];
    let gaps: Vec<f64> = last.iter().zip(exact).map(|(a, b)| a - b).collect();
    let widest = largest::at_least(largest::magnitude(gaps.iter().copied()), 1e-12);
    panels.push(heat(format!("d_r = {m} minus exact"), gaps, [-widest, widest]));
    let figure = Figure {
        id: id.into(),
        columns: 3,
        panel_height: 215.0,
        panels,
        caption: "fig6-attention-heatmaps. Attention weights of every query (rows) towards every key (columns) of \
                  one held-out prompt in the trained plain layer: exact softmax, and positive random features; one \
                  colour scale, and the last matrix's error on its own. The last token is the query of the prompt."
            .into(),
    };
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new()), (table_of_errors, BTreeMap::new())],
        figures: vec![(figure, vec![WEIGHTS])],
        claims,
    })
}

/// The error with the most features against that with the fewest, resampled over the queries.
fn approach(n: usize, exact: &[f64], fewest: &[f64], most: &[f64]) -> anyhow::Result<Claim> {
    let by_query = |matrix: &[f64]| -> Vec<f64> {
        let row = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
        matrix.chunks_exact(n).zip(exact.chunks_exact(n)).map(row).collect()
    };
    let ratio = interval::ratio(&by_query(most), &by_query(fewest))?;
    let claim = at_most(
        Place { item: ITEM.id, claim: "approach", table: "errors" },
        "Mean absolute error with the most features over that with the fewest, one draw, over the prompt's queries",
        ratio.mean,
        1.0,
    );
    Ok(sampled(claim, [ratio.lower, ratio.upper]))
}
