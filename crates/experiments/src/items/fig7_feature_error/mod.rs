//! Error of random-feature attention against the number of features, for every map, beside its prediction: on random keys
//! and queries with `|q + k|^2 <= 1`, and in the trained plain layer, where it is ten times as large.

mod claims;
mod data;
mod drawing;
mod measure;
mod variances;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use crate::views::base_layer;
use artifact::cell::{Cell, Results};
use artifact::table::{ColumnType, Table};
use data::{Data, SYNTHETIC, TRAINED};
use dual_model::feature_map::{self, Entry, Estimate};
use icl_model::device::Device;
use icl_model::settings::TrainSettings;
use icl_numerics::order;
use measure::Measurement;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig7-feature-error",
    paper: "Appendix: MSE and MAE against the number of features",
    claim: "The error of random-feature attention falls as one over the number of features, as its closed forms \
         predict, where |q + k|² is small; in the trained layer it is not",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d: usize,
    n_tokens: usize,
    largest_z: f64,
    features_per_d: Vec<usize>,
    draws: usize,
    variance_draws: usize,
    n_demos: usize,
    d_t: usize,
    steps: usize,
    prompt: usize,
    trained_draws: usize,
    /// Whether draws are enough for the claims of errors to be expected to hold.
    expected: bool,
}

impl Settings {
    /// The training of the layer that is measured.
    fn train(&self) -> TrainSettings {
        base_layer::settings(self.n_demos, self.d_t, self.steps, 0)
    }
}

fn read(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Settings> {
    let settings: Settings = file.typed(context.profile)?;
    for (field, found, low, high) in [
        ("d", settings.d, 2, 512),
        ("n_tokens", settings.n_tokens, 2, 64),
        ("draws", settings.draws, 2, 1_000_000),
        ("trained_draws", settings.trained_draws, 2, 1_000_000),
        ("variance_draws", settings.variance_draws, 2, 100_000_000),
        ("prompt", settings.prompt, 0, 4095),
        ("features_per_d", settings.features_per_d.len(), 2, 64),
    ] {
        if !(low..=high).contains(&found) {
            return Err(file.refuse(field, &found.to_string(), &format!("{low} to {high}")));
        }
    }
    let train = settings.train();
    train.check().map_err(|e| file.refuse("n_demos, d_t, steps", &e.to_string(), "in range"))?;
    Ok(settings)
}

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings = read(file, context)?;
    let mut cells = vec![z_cell(&settings, context.device)];
    for Entry { id: map, estimate, .. } in feature_map::ALL {
        for d_r in sizes(&settings, settings.d) {
            cells.push(synthetic_cell(&settings, Measurement { map, d_r, draws: settings.draws }));
        }
        cells.push(trained_cell(&settings, map, context.device));
        if *estimate == Estimate::Unbiased {
            cells.push(variance_cell(&settings, map));
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// The maps whose estimate is random and unbiased.
fn random() -> impl Iterator<Item = &'static Entry> {
    feature_map::ALL.iter().filter(|entry| entry.estimate == Estimate::Unbiased)
}

/// Numbers of features for keys of size `d`.
fn sizes(settings: &Settings, d: usize) -> impl Iterator<Item = usize> + '_ {
    settings.features_per_d.iter().map(move |per_d| per_d * d)
}

/// Rough work of so many draws, for the order of cells.
fn weight(d_r: usize, draws: usize, n: usize) -> f64 {
    (d_r * draws * n) as f64 / 5e6
}

fn synthetic_name(map: &str, d_r: usize) -> String {
    format!("{SYNTHETIC}/{map}/{d_r}")
}

fn synthetic_cell(settings: &Settings, of: Measurement) -> Cell {
    let settings = settings.clone();
    Cell::new(
        synthetic_name(of.map, of.d_r),
        weight(of.d_r, of.draws, settings.n_tokens),
        json!({
            "kind": "feature-error/4", "settings": settings, "map": of.map, "d_r": of.d_r,
            "draws": of.draws
        }),
        measure::schema(),
        move |_| measure::measure(&Data::synthetic(&settings)?, SYNTHETIC, of),
    )
}

fn trained_name(map: &str) -> String {
    format!("{TRAINED}/{map}")
}

/// Trains the layer and measures one map with every number of features.
fn trained_cell(settings: &Settings, map: &'static str, device: Device) -> Cell {
    let settings = settings.clone();
    let d = settings.d_t + 1;
    let features: usize = sizes(&settings, d).sum();
    Cell::new(
        trained_name(map),
        settings.steps as f64 / 100.0
            + weight(features, settings.trained_draws, 2 * settings.n_demos),
        json!({
            "kind": "feature-error-trained/1", "settings": settings, "train": settings.train(), "map": map
        }),
        measure::schema(),
        move |context| {
            let data = Data::trained(context, &settings, device)?;
            let draws = settings.trained_draws;
            let one =
                |d_r: usize| measure::measure(&data, TRAINED, Measurement { map, d_r, draws });
            let rows = sizes(&settings, d).map(one).collect::<anyhow::Result<Vec<Table>>>()?;
            anyhow::Ok(Table::stack("errors", &rows)?)
        },
    )
}

fn variance_name(map: &str) -> String {
    format!("{map}/variance")
}

/// Single blocks of `d` features, many draws: the variance itself.
fn variance_cell(settings: &Settings, map: &'static str) -> Cell {
    let settings = settings.clone();
    let of = Measurement { map, d_r: settings.d, draws: settings.variance_draws / settings.d };
    Cell::new(
        variance_name(map),
        weight(of.d_r, of.draws, settings.n_tokens),
        json!({ "kind": "feature-variance/1", "settings": settings, "map": map }),
        variances::schema(),
        move |_| variances::measure(&Data::synthetic(&settings)?, of),
    )
}

/// The cell and the table of `z`.
const Z: &str = "z";

/// `|q + k|^2` of every pair in both.
fn z_cell(settings: &Settings, device: Device) -> Cell {
    let settings = settings.clone();
    Cell::new(
        Z,
        settings.steps as f64 / 100.0,
        json!({ "kind": "feature-error-z/1", "settings": settings, "train": settings.train() }),
        vec![("data".into(), ColumnType::Text), ("z".into(), ColumnType::Float)],
        move |context| {
            let of = [
                (SYNTHETIC, Data::synthetic(&settings)?.z()),
                (TRAINED, Data::trained(context, &settings, device)?.z()),
            ];
            let names: Vec<&str> = of.iter().flat_map(|(name, z)| vec![*name; z.len()]).collect();
            let table = Table::builder(Z)
                .texts("data", &names)
                .floats("z", of.into_iter().flat_map(|(_, z)| z).collect())
                .build()?;
            anyhow::Ok(table)
        },
    )
}

/// Quantiles of `z` of one of both data.
fn quantiles(z: &Table, data: &str, shares: [f64; 3]) -> anyhow::Result<[f64; 3]> {
    let (names, values) = (z.texts("data")?, z.floats("z")?);
    let mut own: Vec<f64> =
        names.iter().zip(values).filter(|(name, _)| *name == data).map(|(_, z)| z).collect();
    own.sort_by(f64::total_cmp);
    Ok(shares.map(|share| own[(share * (own.len() - 1) as f64).round() as usize]))
}

/// Means over pairs of the variances, one row for every map.
fn mean_variances(all: &[&Table]) -> anyhow::Result<Table> {
    let mean = |column: &str| -> anyhow::Result<Vec<f64>> {
        all.iter().map(|t| Ok(order::mean(&t.floats(column)?).unwrap_or(0.0))).collect()
    };
    let maps: Vec<&str> = random().map(|map| map.id).collect();
    let table = Table::builder("mean-variances")
        .texts("map", &maps)
        .floats("measured", mean("measured")?)
        .floats("standard_error", mean("error_of_the_mean")?)
        .floats("closed_form", mean("closed_form")?)
        .build()?;
    Ok(table)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let mut curves = Vec::new();
    for map in feature_map::ALL {
        for d_r in sizes(settings, settings.d) {
            curves.push(results.get(&synthetic_name(map.id, d_r))?);
        }
        curves.push(results.get(&trained_name(map.id))?);
    }
    let errors = Table::stack("errors", curves)?;
    let pairs = results.each(random().map(|map| variance_name(map.id)))?;
    let means = mean_variances(&pairs)?;
    let variances = Table::stack("variances", pairs)?;
    let z = results.get(Z)?.clone();
    let claims = claims::claims(settings.expected, &errors, &variances, &means)?;
    let figure = drawing::figure(settings, &errors, &z)?;
    let tables = [errors, variances, means, z];
    Ok(Outputs {
        tables: tables.into_iter().map(|table| (table, BTreeMap::new())).collect(),
        figures: vec![(figure, vec!["errors", Z])],
        claims,
    })
}

/// The rows of a curve, by the number of features.
pub(super) struct Curve {
    rows: Vec<usize>,
}

impl Curve {
    /// That of one map on one of both data.
    fn of(errors: &Table, data: &str, map: &str) -> anyhow::Result<Self> {
        let (names, maps) = (errors.texts("data")?, errors.texts("map")?);
        let rows = (0..maps.len()).filter(|i| names[*i] == data && maps[*i] == map).collect();
        Ok(Self { rows })
    }

    /// A column's entries on it.
    fn column(&self, errors: &Table, column: &str) -> anyhow::Result<Vec<f64>> {
        let all = errors.numbers(column)?;
        Ok(self.rows.iter().map(|i| all[*i]).collect())
    }
}
