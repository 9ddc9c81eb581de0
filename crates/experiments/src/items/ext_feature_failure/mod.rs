//! When random features fail: the relative error `sqrt((e^z - 1) / m)` of positive features, and a
//! published set-up in which they are off by more than half while the exact dual is exact.

mod drawing;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::layer_pair::{LayerPair, difference};
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Place, at_least, at_most, sampled};
use artifact::statistics::{around, extreme, root_mean_square, standard_error};
use artifact::table::{ColumnType, Table};
use candle_core::DType;
use dual_model::feature_map::{FeatureMap as _, Positive, gaussian_rows};
use dual_model::sequence::{Visibility, exact_predictions, feature_predictions};
use icl_model::kernel::Kernel;
use icl_model::mask::Mask;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-feature-failure",
    paper: "beyond the paper",
    claim: "The relative error of positive features is sqrt((e^z - 1)/m): it predicts when they fail, where the \
         exact dual does not",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    z: Vec<f64>,
    features: Vec<usize>,
    draws: usize,
    published_d: usize,
    published_n: usize,
    published_features: usize,
    published_draws: usize,
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.z.iter().any(|z| !(*z > 0.0 && *z < 700.0)) {
        return Err(file.refuse("z", &format!("{:?}", settings.z), "numbers between 0 and 700"));
    }
    let mut cells: Vec<Cell> = settings.z.iter().map(|z| law_cell(&settings, *z)).collect();
    cells.push(published_cell(&settings));
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Cell and table of the published set-up.
const PUBLISHED: &str = "published";

/// Name of a law's cell.
fn law_name(z: f64) -> String {
    format!("law/{z}")
}

fn law_cell(settings: &Settings, z: f64) -> Cell {
    let settings = settings.clone();
    let features: usize = settings.features.iter().sum();
    Cell::new(
        law_name(z),
        (features * settings.draws) as f64 / 2e7,
        json!({ "kind": "feature-law/3", "settings": settings, "z": z }),
        vec![
            ("z".into(), ColumnType::Float),
            ("features".into(), ColumnType::Integer),
            ("measured".into(), ColumnType::Float),
            ("standard_error".into(), ColumnType::Float),
            ("predicted".into(), ColumnType::Float),
        ],
        move |_| law(&settings, z),
    )
}

/// Root mean square of the relative error over draws, at a pair with `|x + y|^2 = z`.
///
/// The estimate depends on `omega` only through `omega . (x + y) ~ N(0, z)`, so one dimension shows it for
/// all. Its error is made by rare features: the sum of all draws has to reach them.
fn law(settings: &Settings, z: f64) -> anyhow::Result<Table> {
    let x = [z.sqrt() / 2.0];
    let kernel = math::exp(order::dot(&x, &x));
    let stream = Stream::new(0, &format!("feature-law/{z}"));
    let (mut measured, mut standard_errors) = (Vec::new(), Vec::new());
    for (i, m) in settings.features.iter().enumerate() {
        let error = |draw: usize| {
            let mut draws = stream.sample((i * settings.draws + draw) as u64);
            let map = Positive::new((0..*m).map(|_| vec![draws.normal()]).collect());
            let phi = map.key_features(&x);
            order::dot(&phi, &phi) / kernel - 1.0
        };
        let errors: Vec<f64> = (0..settings.draws).map(error).collect();
        let [root, error] = root_mean_square(&errors);
        measured.push(root);
        standard_errors.push(error);
    }
    let predicted = settings.features.iter().map(|m| (math::expm1(z) / *m as f64).sqrt()).collect();
    let table = Table::builder("law")
        .floats("z", vec![z; measured.len()])
        .integers("features", settings.features.iter().map(|m| *m as i64).collect())
        .floats("measured", measured)
        .floats("standard_error", standard_errors)
        .floats("predicted", predicted)
        .build()?;
    Ok(table)
}

fn published_cell(settings: &Settings) -> Cell {
    let settings = settings.clone();
    Cell::new(
        PUBLISHED,
        (settings.published_features * settings.published_draws) as f64 / 1e3,
        json!({ "kind": "feature-published/2", "settings": settings }),
        vec![
            ("predictor".into(), ColumnType::Text),
            ("mean_relative_error".into(), ColumnType::Float),
            ("standard_error".into(), ColumnType::Float),
        ],
        move |_| published(&settings),
    )
}

/// Mean error of the outputs relative to their mean magnitude; queries and keys are standard normal
/// before the division by `d^(1/4)`.
fn published(settings: &Settings) -> anyhow::Result<Table> {
    let n = settings.published_n;
    let (mut features, mut exact) = (Vec::new(), Vec::new());
    for draw in 0..settings.published_draws {
        let d = settings.published_d;
        // logit_sd 1: entries of q and k of variance one before the scale
        let pair = LayerPair {
            seed: draw as u64,
            d,
            n_heads: 1,
            n_tokens: n,
            n_demos: n - 1,
            logit_sd: 1.0,
        };
        let attention = pair.attention(DType::F64, &Mask::None, &Kernel::Softmax)?;
        let heads = pair.heads::<f64>()?;
        let omegas = gaussian_rows(
            &Stream::new(draw as u64, "feature-published"),
            settings.published_features,
            d,
        );
        let map = Positive::new(omegas);
        let featured = feature_predictions(&map, &heads[0], n - 1, Visibility::All)?;
        let errors: Vec<f64> =
            featured.entries().iter().zip(&attention).map(|(f, a)| (f - a).abs()).collect();
        let sizes: Vec<f64> = attention.iter().map(|a| a.abs()).collect();
        features.push(order::sum(&errors) / order::sum(&sizes));
        exact
            .push(difference(&[exact_predictions(&heads[0], n - 1, Visibility::All)?], &attention));
    }
    let mean = |x: &[f64]| order::mean(x).unwrap_or(0.0);
    let table = Table::builder("published")
        .texts("predictor", &["positive features", "exact dual"])
        .floats("mean_relative_error", vec![mean(&features), mean(&exact)])
        .floats("standard_error", vec![standard_error(&features), standard_error(&exact)])
        .build()?;
    Ok(table)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let laws = results.each(settings.z.iter().map(|z| law_name(*z)))?;
    let law = Table::stack("law", laws)?;
    let published = results.get(PUBLISHED)?.clone();
    let claims = claims(&law, &published)?;
    let figure = drawing::figure(settings.draws, &law)?;
    Ok(Outputs {
        tables: vec![(law, BTreeMap::new()), (published, BTreeMap::new())],
        figures: vec![(figure, vec!["law"])],
        claims,
    })
}

fn claims(law: &Table, published: &Table) -> anyhow::Result<Vec<Claim>> {
    let id = ITEM.id;
    let (measured, predicted) = (law.floats("measured")?, law.floats("predicted")?);
    let standard_errors = law.floats("standard_error")?;
    // measured over predicted, with its standard error
    let small: Vec<[f64; 2]> = (0..measured.len())
        .filter(|i| predicted[*i] < 0.3)
        .map(|i| [measured[i] / predicted[i], standard_errors[i] / predicted[i]])
        .collect();
    anyhow::ensure!(!small.is_empty(), "no prediction below 0.3");
    let (low, low_ends) = extreme(&small, -1.0);
    let (high, high_ends) = extreme(&small, 1.0);
    let statement = "Measured over predicted error where the prediction is below 0.3";
    let errors = published.floats("mean_relative_error")?;
    let error = published.floats("standard_error")?[0];
    let failure = at_least(
        Place { item: id, claim: "published", table: "published" },
        "Mean relative error of positive features in the published set-up (d = 128, N = 24, 1024 features)",
        errors[0],
        0.5,
    );
    Ok(vec![
        sampled(
            at_least(Place { item: id, claim: "law-low", table: "law" }, statement, low, 0.8),
            low_ends,
        ),
        sampled(
            at_most(Place { item: id, claim: "law-high", table: "law" }, statement, high, 1.25),
            high_ends,
        ),
        sampled(failure, around(errors[0], error)),
        at_most(
            Place { item: id, claim: "exact", table: "published" },
            "Error of the exact dual in the same set-up",
            errors[1],
            1e-12,
        ),
    ])
}
