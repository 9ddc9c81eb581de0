//! Error of random-feature attention against the number of features, for every map.
//!
//! Keys and queries are random with `|q + k|^2 <= 1`, where the estimates' tails are light enough for
//! variances to be measured; the failure beyond is `ext-feature-failure`.

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::{Cell, Results};
use artifact::claim::{Claim, Measurement, Place, agree, at_least, at_most, sampled};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::{around, interval, log_slope, log_slope_error, standard_error};
use artifact::table::{ColumnType, Schema, Table};
use dual_model::feature_map::{self, Entry, Estimate, FeatureMap, Setting, squared_sum};
use icl_numerics::largest;
use icl_numerics::stream::Stream;
use icl_numerics::{math, order};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "fig7-feature-error",
    paper: "Appendix: MSE and MAE against the number of features",
    claim: "The error of random-feature attention falls as one over the number of features, with each map's \
         closed-form variance",
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
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    for (field, found, high) in [
        ("d", settings.d, 512),
        ("n_tokens", settings.n_tokens, 512),
        ("draws", settings.draws, 1_000_000),
        ("variance_draws", settings.variance_draws, 100_000_000),
    ] {
        if found < 2 || found > high {
            return Err(file.refuse(field, &found.to_string(), &format!("2 to {high}")));
        }
    }
    let mut cells = Vec::new();
    for Entry { id: name, .. } in maps() {
        for per_d in &settings.features_per_d {
            let d_r = per_d * settings.d;
            let cell_name = curve_name(name, d_r);
            cells.push(cell(cell_name, &settings, name, d_r, settings.draws));
        }
        // single blocks of d features, many draws: the variance itself
        let (d, draws) = (settings.d, settings.variance_draws / settings.d);
        cells.push(cell(variance_name(name), &settings, name, d, draws));
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// The maps that are shown: random, and unbiased for the softmax kernel.
fn maps() -> impl Iterator<Item = &'static Entry> {
    feature_map::ALL.iter().filter(|entry| entry.estimate == Estimate::Unbiased)
}

const FLOATS: [&str; 7] = [
    "kernel_mse",
    "kernel_mse_error",
    "kernel_theory",
    "attention_mse",
    "attention_mae",
    "output_mse",
    "output_mae",
];

fn schema() -> Schema {
    let mut schema = vec![
        ("map".to_owned(), ColumnType::Text),
        ("d_r".to_owned(), ColumnType::Integer),
        ("draws".to_owned(), ColumnType::Integer),
        ("pair".to_owned(), ColumnType::Integer),
    ];
    schema.extend(FLOATS.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

/// Name of the cell of a map with so many features.
fn curve_name(map: &str, d_r: usize) -> String {
    format!("{map}/{d_r}")
}

/// Name of the cell of a map's single blocks.
fn variance_name(map: &str) -> String {
    format!("{map}/variance")
}

fn cell(
    cell_name: String,
    settings: &Settings,
    name: &'static str,
    d_r: usize,
    draws: usize,
) -> Cell {
    let settings = settings.clone();
    Cell::new(
        cell_name,
        (d_r * draws * settings.n_tokens) as f64 / 5e6,
        json!({
            "kind": "feature-error/3", "settings": settings, "map": name, "d_r": d_r,
            "draws": draws
        }),
        schema(),
        move |_| measure(&settings, name, d_r, draws),
    )
}

/// Keys, queries and values; every `|q + k|^2` is at most `largest_z`.
struct Data {
    keys: Vec<Vec<f64>>,
    queries: Vec<Vec<f64>>,
    values: Vec<f64>,
    mean_z: f64,
}

fn data(settings: &Settings) -> Data {
    let rows = |purpose: &str, n: usize, d: usize| {
        feature_map::gaussian_rows(&Stream::new(0, &format!("feature-error/{purpose}")), n, d)
    };
    let (mut keys, mut queries) =
        (rows("k", settings.n_tokens, settings.d), rows("q", settings.n_tokens, settings.d));
    let z = |keys: &[Vec<f64>], queries: &[Vec<f64>]| -> Vec<f64> {
        queries.iter().flat_map(|q| keys.iter().map(move |k| squared_sum(q, k))).collect()
    };
    let largest = largest::value(z(&keys, &queries));
    let scale = (settings.largest_z / largest).sqrt();
    keys.iter_mut().chain(&mut queries).flatten().for_each(|x| *x *= scale);
    let mean_z = order::mean(&z(&keys, &queries)).unwrap_or(1.0);
    Data { keys, queries, values: rows("v", settings.n_tokens, 1).concat(), mean_z }
}

/// Row-normalised matrix and its product with the values.
fn attention(kernel: &[f64], values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = values.len();
    let mut weights = Vec::with_capacity(kernel.len());
    let mut outputs = Vec::with_capacity(n);
    for row in kernel.chunks_exact(n) {
        let total = order::sum(row);
        let row: Vec<f64> = row.iter().map(|x| x / total).collect();
        outputs.push(order::dot(&row, values));
        weights.extend(row);
    }
    (weights, outputs)
}

fn estimates(map: &dyn FeatureMap, data: &Data) -> Vec<f64> {
    let keys: Vec<Vec<f64>> = data.keys.iter().map(|k| map.key_features(k)).collect();
    let row = |q: &Vec<f64>| {
        let phi = map.query_features(q);
        keys.iter().map(|k| order::dot(k, &phi)).collect::<Vec<f64>>()
    };
    data.queries.iter().flat_map(row).collect()
}

fn measure(settings: &Settings, name: &str, d_r: usize, draws: usize) -> anyhow::Result<Table> {
    let data = data(settings);
    let n = settings.n_tokens;
    let exact: Vec<f64> = data
        .queries
        .iter()
        .flat_map(|q| data.keys.iter().map(|k| math::exp(order::dot(q, k))))
        .collect();
    let (weights, outputs) = attention(&exact, &data.values);
    let choice = feature_map::parse(name)?;
    let keys: Vec<&[f64]> = data.keys.iter().map(Vec::as_slice).collect();
    let mut sums = vec![[0.0; 5]; n * n];
    let mut theory = vec![0.0; n * n];
    // mean over the pairs, draw by draw: pairs share the features
    let mut by_draw = Vec::with_capacity(draws);
    for draw in 0..draws {
        let stream = Stream::new(draw as u64, &format!("feature-error/omega/{d_r}"));
        let (stream, d, mean_z, keys) = (&stream, settings.d, data.mean_z, &keys);
        let map = choice.build(&Setting { stream, d_r, d, mean_z, keys })?;
        let kernel = estimates(map.as_ref(), &data);
        let (w, o) = attention(&kernel, &data.values);
        let squares: Vec<f64> = kernel.iter().zip(&exact).map(|(k, e)| (k - e) * (k - e)).collect();
        by_draw.push(order::mean(&squares).unwrap_or(0.0));
        for ij in 0..n * n {
            let (dk, dw) = (kernel[ij] - exact[ij], w[ij] - weights[ij]);
            let d_out = o[ij / n] - outputs[ij / n];
            let terms = [dk * dk, dw * dw, dw.abs(), d_out * d_out, d_out.abs()];
            sums[ij].iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        if draw == 0 {
            for (ij, theory) in theory.iter_mut().enumerate() {
                let variance = map.variance(&data.queries[ij / n], &data.keys[ij % n]);
                *theory = variance.with_context(|| format!("{name} states no variance"))?;
            }
        }
    }
    let column = |i: usize| sums.iter().map(|s| s[i] / draws as f64).collect::<Vec<f64>>();
    let table = Table::builder("pairs")
        .texts("map", &vec![name; n * n])
        .integers("d_r", vec![d_r as i64; n * n])
        .integers("draws", vec![draws as i64; n * n])
        .integers("pair", (0..(n * n) as i64).collect())
        .floats("kernel_mse", column(0))
        .floats("kernel_mse_error", vec![standard_error(&by_draw); n * n])
        .floats("kernel_theory", theory)
        .floats("attention_mse", column(1))
        .floats("attention_mae", column(2))
        .floats("output_mse", column(3))
        .floats("output_mae", column(4))
        .build()?;
    Ok(table)
}

/// Means over pairs, one row per cell.
fn means(results: &[&Table]) -> anyhow::Result<Table> {
    let first = |table: &Table, column: &str| -> anyhow::Result<i64> {
        Ok(table.integers(column)?.first().copied().unwrap_or(0))
    };
    let maps: Vec<String> = results
        .iter()
        .map(|t| Ok(t.texts("map")?.into_iter().next().unwrap_or_default()))
        .collect::<anyhow::Result<_>>()?;
    let integers = |column: &str| -> anyhow::Result<Vec<i64>> {
        results.iter().map(|t| first(t, column)).collect()
    };
    let mut builder = Table::builder("errors")
        .texts("map", &maps)
        .integers("d_r", integers("d_r")?)
        .integers("draws", integers("draws")?);
    for name in FLOATS {
        let column = results
            .iter()
            .map(|t| Ok(order::mean(&t.floats(name)?).unwrap_or(0.0)))
            .collect::<anyhow::Result<Vec<f64>>>()?;
        builder = builder.floats(name, column);
    }
    Ok(builder.build()?)
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let id = ITEM.id;
    let sizes = || settings.features_per_d.iter().map(|per_d| per_d * settings.d);
    let curves = maps().flat_map(|map| sizes().map(move |d_r| curve_name(map.id, d_r)));
    let errors = means(&results.each(curves)?)?;
    let variances =
        means(&results.each(maps().map(|map| variance_name(map.id)))?)?.named("variances");
    let claims = claims(id, settings, &errors, &variances, results)?;
    let figure = figure(id, settings, &errors)?;
    Ok(Outputs {
        tables: vec![(errors, BTreeMap::new()), (variances, BTreeMap::new())],
        figures: vec![(figure, vec!["errors"])],
        claims,
    })
}

fn claims(
    id: &str,
    settings: &Settings,
    errors: &Table,
    variances: &Table,
    results: &Results,
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    let (x, y) = (errors.numbers("d_r")?, errors.floats("kernel_mse")?);
    let y_errors = errors.floats("kernel_mse_error")?;
    let per_map = settings.features_per_d.len();
    for (i, Entry { id: name, .. }) in maps().enumerate() {
        let rows = i * per_map..(i + 1) * per_map;
        let (x, y, y_errors) = (&x[rows.clone()], &y[rows.clone()], &y_errors[rows]);
        let slope = log_slope(x, y);
        let interval = around(slope, log_slope_error(x, y, y_errors));
        let statement = format!("Slope of the {name} kernel's mean squared error against d_r");
        let place = format!("slope-{name}");
        let low = at_least(
            Place { item: id, claim: &format!("{place}-low"), table: "errors" },
            &statement,
            slope,
            -1.1,
        );
        let high = at_most(
            Place { item: id, claim: &format!("{place}-high"), table: "errors" },
            &statement,
            slope,
            -0.9,
        );
        claims.extend([low, high].map(|claim| sampled(claim, interval)));
    }
    claims.extend(variance_claims(settings, variances, results)?);
    Ok(claims)
}

/// Variances of single blocks of features: against their closed forms, and of the maps among each other.
fn variance_claims(
    settings: &Settings,
    variances: &Table,
    results: &Results,
) -> anyhow::Result<Vec<Claim>> {
    let id = ITEM.id;
    let (measured, theory) = (variances.floats("kernel_mse")?, variances.floats("kernel_theory")?);
    let errors = variances.floats("kernel_mse_error")?;
    let mut claims = Vec::new();
    for (i, Entry { id: name, .. }) in maps().enumerate() {
        let statement =
            format!("Measured variance of the {name} map within 5 % of its closed form");
        let one = Measurement { value: measured[i], error: errors[i], closed: theory[i] };
        let place = format!("variance-{name}");
        claims.push(agree(
            Place { item: id, claim: &place, table: "variances" },
            &statement,
            [one],
            0.05,
        ));
    }
    let at = |name: &str| {
        maps().position(|map| map.id == name).with_context(|| format!("no map `{name}` is shown"))
    };
    let mse = |name: &str| -> anyhow::Result<Vec<f64>> {
        Ok(results.get(&variance_name(name))?.floats("kernel_mse")?)
    };
    let (independent, orthogonal) = (mse("positive")?, mse("orthogonal")?);
    let below: Vec<f64> =
        orthogonal.iter().zip(&independent).map(|(o, i)| f64::from(u8::from(o <= i))).collect();
    // pairs of one query are not independent: queries are resampled
    let by_query: Vec<f64> =
        below.chunks_exact(settings.n_tokens).map(|row| order::mean(row).unwrap_or(0.0)).collect();
    let share = interval::mean(&by_query)?;
    let claim = at_least(
        Place { item: id, claim: "orthogonal", table: "variances" },
        "Share of pairs in which orthogonal rows are at or below independent ones",
        share.mean,
        0.9,
    );
    claims.push(sampled(claim, [share.lower, share.upper]));
    let (above, below) = (at("favor++")?, at("positive")?);
    let ratio = measured[above] / measured[below];
    let relative = [above, below].map(|i| errors[i] / measured[i]);
    let claim = at_most(
        Place { item: id, claim: "favor++", table: "variances" },
        "Mean variance of favor++ over that of the positive map",
        ratio,
        1.0,
    );
    // as of independent draws; they share omega, so this is too wide
    let error = ratio * order::sum_of_squares(&relative).sqrt();
    claims.push(sampled(claim, around(ratio, error)));
    Ok(claims)
}

fn figure(id: &str, settings: &Settings, errors: &Table) -> anyhow::Result<Figure> {
    let x = errors.numbers("d_r")?;
    let per_map = settings.features_per_d.len();
    let panel = |title: &str, column: &str, theory: bool| -> anyhow::Result<Panel> {
        let y = errors.floats(column)?;
        let closed = errors.floats("kernel_theory")?;
        let mut series = Vec::new();
        for (i, Entry { id: name, .. }) in maps().enumerate() {
            let rows = i * per_map..(i + 1) * per_map;
            let style = if theory { Style::series(i).solid() } else { Style::series(i) };
            series.push(Series::line(
                name,
                style,
                x[rows.clone()].to_vec(),
                y[rows.clone()].to_vec(),
            ));
            if theory {
                let label = if i == 0 { "closed forms" } else { "" };
                series.push(Series::line(
                    label,
                    Style::THEORY,
                    x[rows.clone()].to_vec(),
                    closed[rows].to_vec(),
                ));
            }
        }
        Ok(Panel::Lines(LinePanel {
            title: title.into(),
            x: Axis::log("features d_r"),
            y: Axis::log("error"),
            series,
        }))
    };
    Ok(Figure {
        id: id.into(),
        columns: 2,
        panel_height: 215.0,
        panels: vec![
            panel("attention matrix, MSE", "attention_mse", false)?,
            panel("output, MSE", "output_mse", false)?,
            panel("attention matrix, MAE", "attention_mae", false)?,
            panel("output, MAE", "output_mae", false)?,
            panel("kernel, MSE", "kernel_mse", true)?,
        ],
        caption: format!(
            "fig7-feature-error. Errors of random-feature attention against exact softmax attention, means over \
             all pairs of {n} queries and {n} keys (d = {d}, |q + k|² ≤ {z}) and {draws} draws of the features; \
             dashed: closed-form variances of the kernel's estimate.",
            n = settings.n_tokens,
            d = settings.d,
            z = settings.largest_z,
            draws = settings.draws
        ),
    })
}
