//! Do negatives and regularisation keep predictions from collapsing? Rank, alignment and uniformity of
//! what a trained layer predicts, against the strength of the modification. With independent targets of equal
//! variance nothing drives a collapse even without a modification: the rank is asked for, and what is left to compare are loss
//! and alignment, strength by strength, since they need not follow it in one direction.
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

mod drawing;

use crate::cells::{Kept, machine};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Cell;
use artifact::claim::{Claim, Place, at_least, at_most, compared};
use artifact::statistics::comparison::{Comparison, Differences, compare};
use artifact::table::{ColumnType, Schema, Table};
use icl_model::adam::{AdamSettings, Course};
use icl_model::device::Device;
use icl_model::prompt::{PromptBatch, PromptShape};
use icl_model::settings::{Start, TrainSettings};
use icl_model::training::LayerTraining;
use icl_numerics::largest;
use icl_numerics::{math, order};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-collapse",
    paper: "beyond the paper",
    claim: "At strength zero a modification is plain; whether predictions of independent targets lose rank with its \
            strength, and which strengths lower loss and misalignment",
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
    schedule: Course,
    start: Start,
    prompts: usize,
    /// Smallest difference of interest, relative to plain.
    margin: f64,
    rank: Rank,
    seeds: u64,
}

/// What is claimed of the effective rank.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rank {
    /// Its least value, relative to the number of targets.
    least: f64,
    expected: bool,
}

impl Settings {
    /// A kind of modification at a strength: `{}` in its name stands for the strength.
    fn modification(kind: &str, strength: f64) -> String {
        kind.replace("{}", &strength.to_string())
    }

    fn train(&self, modification: String, seed: u64) -> TrainSettings {
        let base = TrainSettings::base();
        TrainSettings {
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: self.d_s },
            modification,
            start: self.start,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings { schedule: self.schedule.over(self.steps), ..base.adam.clone() },
            validate_every: self.steps.max(1),
            seed,
            ..base
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
        json!({ "kind": "collapse/2", "settings": train, "prompts": prompts }),
        schema(),
        move |context| {
            let layer = LayerTraining::new(train.clone(), &machine(device))?;
            let mut trainer = layer.trainer();
            trainer.run(&Kept::new(context)?)?;
            let batch = train.test_sampler(device.isa())?.batch(0, prompts);
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
    let comparisons = comparisons(settings, &runs)?;
    let claims = claims(settings, &runs, &comparisons)?;
    let figure = drawing::figure(settings, &runs)?;
    let words = words(&comparisons)?;
    Ok(Outputs {
        tables: vec![(runs, BTreeMap::new()), (words, BTreeMap::new())],
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

/// Measures in which less is better, and which are compared with plain.
const COMPARED: [&str; 2] = ["relative_loss", "alignment"];

/// A setting's measure beside plain's.
struct Against {
    measure: &'static str,
    found: Comparison,
}

/// Every strength but zero of every kind with plain, by both measures, in one family.
fn comparisons(settings: &Settings, runs: &Table) -> anyhow::Result<Vec<Against>> {
    let (mut measures, mut all) = (Vec::new(), Vec::new());
    for measure in COMPARED {
        let plain = by_seed(settings, runs, "plain", measure)?;
        for kind in &settings.kinds {
            for strength in &settings.strengths[1..] {
                let name = Settings::modification(kind, *strength);
                let sample = by_seed(settings, runs, &name, measure)?;
                measures.push(measure);
                all.push(Differences::relative(&name, &sample, &plain, settings.margin));
            }
        }
    }
    let found = compare(&all)?.into_iter();
    Ok(measures.into_iter().zip(found).map(|(measure, found)| Against { measure, found }).collect())
}

fn words(comparisons: &[Against]) -> anyhow::Result<Table> {
    let floats =
        |f: &dyn Fn(&Comparison) -> f64| comparisons.iter().map(|one| f(&one.found)).collect();
    let table = Table::builder("comparisons")
        .texts("measure", &comparisons.iter().map(|one| one.measure).collect::<Vec<_>>())
        .texts(
            "setting",
            &comparisons.iter().map(|one| one.found.name.as_str()).collect::<Vec<_>>(),
        )
        .floats("difference", floats(&|one| one.difference.mean))
        .floats("lower", floats(&|one| one.difference.lower))
        .floats("upper", floats(&|one| one.difference.upper))
        .floats("margin", floats(&|one| one.margin))
        .floats("p_difference", floats(&|one| one.evidence.p_difference))
        .floats("p_equivalence", floats(&|one| one.evidence.p_equivalence))
        .texts("word", &comparisons.iter().map(|one| one.found.word().text()).collect::<Vec<_>>())
        .build()?;
    Ok(table)
}

fn place<'a>(claim: &'a str, table: &'a str) -> Place<'a> {
    Place { item: ITEM.id, claim, table }
}

/// At strength 0 every kind is plain, bit for bit; the rank is asked for; what every strength does to loss and alignment
/// is under test.
fn claims(
    settings: &Settings,
    runs: &Table,
    comparisons: &[Against],
) -> anyhow::Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for kind in &settings.kinds {
        let mut differences = Vec::new();
        for column in MEASURES {
            let plain = by_seed(settings, runs, "plain", column)?;
            let neutral = &curve(settings, runs, kind, column)?[0];
            differences.extend(plain.iter().zip(neutral).map(|(a, b)| (a - b).abs()));
        }
        let name = kind.replace("{}", "0");
        let statement = format!("{name} against plain: the largest difference of any measure");
        claims.push(at_most(place(&name, "runs"), &statement, largest::value(differences), 0.0));
    }
    let least = largest::least(runs.floats(MEASURES[0])?);
    let statement = format!(
        "Least effective rank of the predictions over all settings and seeds, of {} targets",
        settings.d_s
    );
    let Rank { least: share, expected } = settings.rank;
    let rank = at_least(place("rank", "runs"), &statement, least, share * settings.d_s as f64);
    claims.push(Claim { expected, ..rank });
    for Against { measure, found } in comparisons {
        let name = format!("{}/{measure}", found.name);
        let what = measure.replace('_', " ");
        let statement = format!("{} has a lower {what} than plain", found.name);
        claims.push(compared(place(&name, "comparisons"), &statement, found));
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_rank_counts_equal_directions() {
        let corner = |i: usize| vec![f64::from(i as u32 & 1), f64::from(i as u32 >> 1 & 1), 2.0];
        let square: Vec<Vec<f64>> = (0..4).map(corner).collect();
        assert!((effective_rank(&square) - 2.0).abs() < 1e-12);
        assert_eq!(effective_rank(&[vec![1.0, 2.0], vec![1.0, 2.0]]), 0.0);
        let line: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), 2.0 * f64::from(i)]).collect();
        assert!((effective_rank(&line) - 1.0).abs() < 1e-12);
    }
}
