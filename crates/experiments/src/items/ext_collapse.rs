//! Do negatives and regularisation keep predictions from collapsing? Rank, alignment and uniformity of
//! what a trained layer predicts, against the strength of the modification.
//!
//! With predictions `p` and targets `s` of many prompts, `u(x) = x / |x|`:
//!
//! ```text
//! effective rank  tr(C)^2 / tr(C^2)          C: covariance of p (participation ratio, 1 to d_s)
//! alignment       E |u(p) - u(s)|^2          pairs of a prediction and its own target; 0 is best
//! uniformity      ln E exp(-2 |u(p) - u(p')|^2)      predictions of two prompts; -4 to 0, low is spread
//! ```
//!
//! Source of the last two: T. Wang, P. Isola (2020).

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Claim, Place, at_least, at_most, sampled};
use artifact::figure::{Axis, Figure, LinePanel, Panel, Series, Style};
use artifact::statistics::interval;
use artifact::table::{ColumnType, Schema, Table};
use icl_model::device::Device;
use icl_model::prompt::{PromptBatch, PromptShape};
use icl_model::settings::TrainSettings;
use icl_model::training::{EVALUATION_SEED, LayerTraining};
use icl_numerics::largest;
use icl_numerics::{math, order};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-collapse",
    paper: "beyond the paper",
    claim: "What negatives and regularisation do to the rank, alignment and uniformity of the predictions",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d_t: usize,
    d_s: usize,
    n_demos: usize,
    kinds: Vec<String>,
    strengths: Vec<f64>,
    steps: usize,
    batch: usize,
    prompts: usize,
    seeds: u64,
}

impl Settings {
    /// A kind of modification at a strength: `{}` in its name stands for the strength.
    fn modification(kind: &str, strength: f64) -> String {
        kind.replace("{}", &strength.to_string())
    }

    fn train(&self, modification: String, seed: u64) -> TrainSettings {
        TrainSettings {
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: self.d_s },
            modification,
            steps: self.steps,
            batch: self.batch,
            validate_every: self.steps.max(1),
            seed,
            ..TrainSettings::base()
        }
    }
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.strengths.first() != Some(&0.0) || settings.strengths.len() < 2 {
        let found = format!("{:?}", settings.strengths);
        return Err(file.refuse("strengths", &found, "0 and at least one more"));
    }
    if settings.d_s < 2 || settings.prompts < 2 {
        let found = format!("{}, {}", settings.d_s, settings.prompts);
        return Err(file.refuse("d_s, prompts", &found, "at least 2 each"));
    }
    let mut cells = Vec::new();
    for modification in modifications(&settings) {
        for seed in 0..settings.seeds {
            let train = settings.train(modification.clone(), seed);
            train.check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
            icl_model::attention::parse(&train.modification)
                .map_err(|e| file.refuse("kinds", &e.to_string(), "known modifications"))?;
            cells.push(cell(train, settings.prompts, context.device));
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, &results.all())))
}

/// Plain, then every kind at every strength.
fn modifications(settings: &Settings) -> Vec<String> {
    let kind = |kind: &String| {
        let at = |strength: &f64| Settings::modification(kind, *strength);
        settings.strengths.iter().map(at).collect::<Vec<_>>()
    };
    std::iter::once("plain".to_owned()).chain(settings.kinds.iter().flat_map(kind)).collect()
}

const MEASURES: [&str; 4] = ["effective_rank", "alignment", "uniformity", "relative_loss"];

fn schema() -> Schema {
    let mut schema =
        vec![("setting".to_owned(), ColumnType::Text), ("seed".to_owned(), ColumnType::Integer)];
    schema.extend(MEASURES.map(|name| (name.to_owned(), ColumnType::Float)));
    schema
}

fn cell(train: TrainSettings, prompts: usize, device: Device) -> Cell {
    Cell::new(
        format!("{}/{}", train.modification, train.seed),
        crate::cells::training::weight(&train, prompts),
        json!({ "kind": "collapse/1", "settings": train, "prompts": prompts }),
        schema(),
        move |context| {
            let layer = LayerTraining::new(train.clone(), &machine(device))?;
            let mut trainer = layer.trainer();
            trainer.run(&Kept::new(context)?)?;
            let batch = train.sampler(EVALUATION_SEED, "final", device.isa())?.batch(0, prompts);
            let row = measure(&layer.predict(trainer.parameters(), &batch)?, &batch);
            let mut builder = Table::builder("runs")
                .texts("setting", &[train.modification.as_str()])
                .integers("seed", vec![train.seed as i64]);
            for (name, value) in MEASURES.into_iter().zip(row) {
                builder = builder.floats(name, vec![value]);
            }
            anyhow::Ok(builder.build()?)
        },
    )
}

/// `x / |x|`; zero stays zero.
fn unit(x: &[f64]) -> Vec<f64> {
    let norm = order::sum_of_squares(x).sqrt();
    x.iter().map(|x| if norm > 0.0 { x / norm } else { 0.0 }).collect()
}

fn squared_distance(x: &[f64], y: &[f64]) -> f64 {
    let difference: Vec<f64> = x.iter().zip(y).map(|(x, y)| x - y).collect();
    order::sum_of_squares(&difference)
}

/// The measures of [`MEASURES`].
fn measure(predictions: &[Vec<f32>], batch: &PromptBatch) -> [f64; 4] {
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let predictions: Vec<Vec<f64>> = predictions.iter().map(|p| wide(p)).collect();
    let targets: Vec<Vec<f64>> = (0..batch.n_prompts).map(|p| wide(&batch.target(p))).collect();
    let mean = |x: Vec<f64>| order::mean(&x).unwrap_or(0.0);
    let pairs = || predictions.iter().zip(&targets);
    let units: Vec<Vec<f64>> = predictions.iter().map(|p| unit(p)).collect();
    // every prompt in one pair, so that the pairs are independent
    let spread =
        units.chunks_exact(2).map(|two| math::exp(-2.0 * squared_distance(&two[0], &two[1])));
    [
        effective_rank(&predictions),
        mean(pairs().map(|(p, s)| squared_distance(&unit(p), &unit(s))).collect()),
        math::ln(mean(spread.collect())),
        mean(pairs().map(|(p, s)| squared_distance(p, s)).collect())
            / mean(targets.iter().map(|s| order::sum_of_squares(s)).collect()),
    ]
}

/// `tr(C)^2 / tr(C^2)` of the covariance `C`; 0 if nothing varies.
fn effective_rank(rows: &[Vec<f64>]) -> f64 {
    let d = rows.first().map_or(0, Vec::len);
    let centred: Vec<Vec<f64>> = (0..d)
        .map(|c| {
            let column: Vec<f64> = rows.iter().map(|row| row[c]).collect();
            let mean = order::mean(&column).unwrap_or(0.0);
            column.iter().map(|x| x - mean).collect()
        })
        .collect();
    let covariance = |i: usize, j: usize| order::dot(&centred[i], &centred[j]) / rows.len() as f64;
    let all: Vec<f64> = (0..d * d).map(|ij| covariance(ij / d, ij % d)).collect();
    let trace: f64 = (0..d).map(|i| all[i * d + i]).sum();
    let square = order::sum_of_squares(&all);
    if square > 0.0 { trace * trace / square } else { 0.0 }
}

fn assemble(settings: &Settings, results: &[&Table]) -> anyhow::Result<Outputs> {
    let runs = Table::stack("runs", results.iter().copied())?;
    let claims = claims(settings, &runs)?;
    let figure = figure(settings, &runs)?;
    Ok(Outputs {
        tables: vec![(runs, BTreeMap::new())],
        figures: vec![(figure, vec!["runs"])],
        claims,
    })
}

/// A measure of one setting by seed.
fn by_seed(
    settings: &Settings,
    runs: &Table,
    name: &str,
    column: &str,
) -> anyhow::Result<Vec<f64>> {
    let (names, values) = (runs.texts("setting")?, runs.floats(column)?);
    let sample: Vec<f64> =
        (0..names.len()).filter(|i| names[*i] == name).map(|i| values[i]).collect();
    anyhow::ensure!(sample.len() == settings.seeds as usize, "`{name}`: a seed is missing");
    Ok(sample)
}

/// A kind's measure, `[strength][seed]`.
fn curve(
    settings: &Settings,
    runs: &Table,
    kind: &str,
    column: &str,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let at = |s: &f64| by_seed(settings, runs, &Settings::modification(kind, *s), column);
    settings.strengths.iter().map(at).collect()
}

/// At strength 0 every kind is plain, bit for bit; whether measures follow the strength is under test.
fn claims(settings: &Settings, runs: &Table) -> anyhow::Result<Vec<Claim>> {
    let id = ITEM.id;
    let mut claims = Vec::new();
    for kind in &settings.kinds {
        let mut differences = Vec::new();
        for column in MEASURES {
            let plain = by_seed(settings, runs, "plain", column)?;
            let neutral = &curve(settings, runs, kind, column)?[0];
            differences.extend(plain.iter().zip(neutral).map(|(a, b)| (a - b).abs()));
        }
        let furthest = largest::value(differences);
        let name = kind.replace("{}", "0");
        let statement = format!("{name} against plain: the largest difference of any measure");
        claims.push(at_most(
            Place { item: id, claim: &name, table: "runs" },
            &statement,
            furthest,
            0.0,
        ));
    }
    for kind in &settings.kinds {
        for column in MEASURES {
            claims.push(trend(settings, runs, kind, column)?);
        }
    }
    Ok(claims)
}

/// Rank correlation of a measure with the strength, seed by seed, resampled over seeds at Bonferroni's level:
/// rank, and (negatively) the three measures in which less is better.
fn trend(settings: &Settings, runs: &Table, kind: &str, column: &str) -> anyhow::Result<Claim> {
    let curve = curve(settings, runs, kind, column)?;
    let correlation = |seed: usize| {
        let measure: Vec<f64> = curve.iter().map(|values| values[seed]).collect();
        order::dot(&ranks(&settings.strengths), &ranks(&measure))
    };
    let correlations: Vec<f64> = (0..settings.seeds as usize).map(correlation).collect();
    let count = MEASURES.len() * settings.kinds.len();
    let mean = interval::mean_of_several(&correlations, count)?;
    let strength = kind.replace("{}", "x");
    let name = format!("{strength}/{column}");
    let place = Place { item: ITEM.id, claim: &name, table: "runs" };
    let what = column.replace('_', " ");
    let claim = if column == MEASURES[0] {
        let statement = format!("{strength}: {what} rises with x (Spearman's correlation)");
        at_least(place, &statement, mean.mean, 0.0)
    } else {
        let statement = format!("{strength}: {what} falls with x (Spearman's correlation)");
        at_most(place, &statement, mean.mean, 0.0)
    };
    Ok(Claim { expected: false, ..sampled(claim, [mean.lower, mean.upper]) })
}

/// Centred ranks of length one, so that a dot product of two is Spearman's correlation; ties get the mean
/// of their ranks. All zero where every number is the same.
fn ranks(x: &[f64]) -> Vec<f64> {
    let rank = |a: &f64| {
        let below = x.iter().filter(|b| *b < a).count() as f64;
        let equal = x.iter().filter(|b| *b == a).count() as f64;
        below + (equal - 1.0) / 2.0 - (x.len() as f64 - 1.0) / 2.0
    };
    unit(&x.iter().map(rank).collect::<Vec<f64>>())
}

fn figure(settings: &Settings, runs: &Table) -> anyhow::Result<Figure> {
    let line = |i: usize, kind: &str, column: &str| -> anyhow::Result<Series> {
        let mut columns: [Vec<f64>; 3] = Default::default();
        for sample in curve(settings, runs, kind, column)? {
            let mean = interval::mean(&sample)?;
            let row = [mean.mean, mean.lower, mean.upper];
            columns.iter_mut().zip(row).for_each(|(column, x)| column.push(x));
        }
        let [mean, lower, upper] = columns;
        let label = kind.replace(':', " ").replace("={}", "").replace(',', " ");
        let x = settings.strengths.clone();
        Ok(Series::line(&label, Style::series(i), x, mean).with_band(lower, upper))
    };
    let panel = |title: &str, y: &str, column: &str| -> anyhow::Result<Panel> {
        let kinds = settings.kinds.iter().enumerate();
        let series = kinds.map(|(i, kind)| line(i, kind, column)).collect::<Result<_, _>>()?;
        let (x, y) = (Axis::linear("strength α or β"), Axis::linear(y));
        Ok(Panel::Lines(LinePanel { title: title.into(), x, y, series }))
    };
    Ok(Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 200.0,
        panels: vec![
            panel("effective rank", "tr(C)² / tr(C²)", MEASURES[0])?,
            panel("loss", "2 · loss / E[s²]", MEASURES[3])?,
            panel("alignment", "E |u(p) − u(s)|²", MEASURES[1])?,
            panel("uniformity", "ln E exp(−2 |u(p) − u(p′)|²)", MEASURES[2])?,
        ],
        caption: format!(
            "ext-collapse. What one trained head predicts for {} prompts of the linear task with {} targets, against \
             the strength of a modification: effective rank of the predictions' covariance, loss, alignment with the \
             targets (0 is best) and uniformity on the sphere (low is spread). Mean and 95 % bootstrap band over {} \
             seeds.",
            settings.prompts, settings.d_s, settings.seeds
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_rank_counts_equal_directions_and_spearman_orders() {
        let corner = |i: usize| vec![f64::from(i as u32 & 1), f64::from(i as u32 >> 1 & 1), 2.0];
        let square: Vec<Vec<f64>> = (0..4).map(corner).collect();
        assert!((effective_rank(&square) - 2.0).abs() < 1e-12);
        assert_eq!(effective_rank(&[vec![1.0, 2.0], vec![1.0, 2.0]]), 0.0);
        let line: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), 2.0 * f64::from(i)]).collect();
        assert!((effective_rank(&line) - 1.0).abs() < 1e-12);
        let correlation = |x: &[f64], y: &[f64]| order::dot(&ranks(x), &ranks(y));
        assert!((correlation(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3]) - 1.0).abs() < 1e-12);
        assert!((correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        // ranks 0, 1.5, 1.5 against 0, 1, 2: 1.5 / sqrt(1.5 * 2)
        let tied = correlation(&[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0]);
        assert!((tied - 1.5 / 3.0_f64.sqrt()).abs() < 1e-12);
    }
}
