//! The search for hyper-parameters, with its whole grid and its cost.

use crate::cells::{training, transformer};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::cell::Results;
use artifact::claim::{Claim, Place, tested};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::table::Table;
use icl_model::adam::AdamSettings;
use icl_model::device::Device;
use icl_model::settings::{StackSettings, TrainSettings};
use icl_numerics::largest;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-search",
    paper: "beyond the paper",
    claim: "How far the chosen learning rate and start are from the best of the grid",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    subjects: Vec<Subject>,
    learning_rate: Vec<f64>,
    initial_sd: Vec<f64>,
    hidden: usize,
    clip: f64,
    steps: usize,
    batch: usize,
    n_final: usize,
    seeds: u64,
}

/// What is searched for, and the point that the other files take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    modification: String,
    n_heads: usize,
    /// Whole layers without residual paths; 0 for attention alone.
    layers: usize,
    learning_rate: f64,
    initial_sd: f64,
}

/// Seeds of the search: none of them is a seed of a figure.
const FIRST_SEED: u64 = 1000;

impl Settings {
    /// Rate and standard deviation of every grid point, in order.
    fn points(&self) -> Vec<(f64, f64)> {
        let rates =
            |sd: &f64| self.learning_rate.iter().map(|rate| (*rate, *sd)).collect::<Vec<_>>();
        self.initial_sd.iter().flat_map(rates).collect()
    }

    /// Place of a subject's point on the grid.
    fn chosen(&self, subject: &Subject) -> Option<usize> {
        let point = (subject.learning_rate, subject.initial_sd);
        self.points().iter().position(|other| *other == point)
    }

    fn cell(
        &self,
        subject: &Subject,
        point: (f64, f64),
        seed: u64,
        device: Device,
    ) -> anyhow::Result<Cell> {
        let name = run_name(subject, point, seed);
        let (learning_rate, initial_sd) = point;
        let clip = if subject.layers == 0 { 0.0 } else { self.clip };
        let train = TrainSettings {
            modification: subject.modification.clone(),
            n_heads: subject.n_heads,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings { learning_rate, clip, ..AdamSettings::default() },
            init_std: initial_sd,
            validate_every: self.steps.max(1),
            seed: FIRST_SEED + seed,
            ..TrainSettings::base()
        };
        if subject.layers == 0 {
            return training::cell(name, train, self.n_final, device);
        }
        let (layers, d_ff) = (subject.layers, self.hidden);
        let stack = StackSettings { train, layers, d_ff, residual: false };
        transformer::training_cell(name, stack, self.n_final, device)
    }
}

/// Name of the cell of a subject at a rate and a standard deviation.
fn run_name(subject: &Subject, (rate, sd): (f64, f64), seed: u64) -> String {
    format!("{}/{rate}/{sd}/{seed}", subject.name)
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let mut cells = Vec::new();
    for subject in &settings.subjects {
        if settings.chosen(subject).is_none() {
            let found = format!("{}, {}", subject.learning_rate, subject.initial_sd);
            return Err(file.refuse("subjects", &found, "a point of the grid"));
        }
        for point in settings.points() {
            for seed in 0..settings.seeds {
                let cell = settings.cell(subject, point, seed, context.device);
                cells.push(cell.map_err(|e| file.refuse("training", &e.to_string(), "in range"))?);
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Losses of the final set, `[subject][point][seed]`.
fn grid(settings: &Settings, results: &Results) -> anyhow::Result<Vec<Vec<Vec<f64>>>> {
    let at = |subject: &Subject, point| -> anyhow::Result<Vec<f64>> {
        let seeds = (0..settings.seeds).map(|seed| run_name(subject, point, seed));
        training::finals(&results.each(seeds)?)
    };
    let points = settings.points();
    let one = |subject| points.iter().map(|point| at(subject, *point)).collect();
    settings.subjects.iter().map(one).collect()
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let points = settings.points();
    let grid = grid(settings, results)?;
    let losses: Vec<f64> = grid.iter().flatten().flatten().copied().collect();
    let runs = || {
        settings.subjects.iter().flat_map(|subject| {
            let seeds = move |point| (0..settings.seeds).map(move |seed| (subject, point, seed));
            points.iter().copied().flat_map(seeds)
        })
    };
    let table = Table::builder("grid")
        .texts("subject", &runs().map(|run| run.0.name.as_str()).collect::<Vec<_>>())
        .floats("learning_rate", runs().map(|run| run.1.0).collect())
        .floats("initial_sd", runs().map(|run| run.1.1).collect())
        .integers("seed", runs().map(|run| (FIRST_SEED + run.2) as i64).collect())
        .floats("relative_loss", losses.clone())
        .integers("prompts_seen", vec![(settings.steps * settings.batch) as i64; losses.len()])
        .build()?;
    let claims = claims(settings, &grid)?;
    let figure = figure(settings, &grid);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["grid"])],
        claims,
    })
}

const RESAMPLES: u64 = 2000;

/// For every subject: mean loss at the chosen point over the least of the grid, at least 1. The best point is
/// sought anew in every resample of the seeds; intervals are at Bonferroni's level over the subjects.
fn claims(settings: &Settings, grid: &[Vec<Vec<f64>>]) -> anyhow::Result<Vec<Claim>> {
    let seeds: Vec<usize> = (0..settings.seeds as usize).collect();
    let stream = Stream::new(0, "search/bootstrap");
    let resample = |i: u64| -> Vec<usize> {
        let mut draws = stream.sample(i);
        seeds.iter().map(|_| draws.below(settings.seeds) as usize).collect()
    };
    let one = |(subject, points): (&Subject, &Vec<Vec<f64>>)| -> anyhow::Result<Claim> {
        let chosen = settings.chosen(subject).context("the chosen point is not on the grid")?;
        let ratio = |seeds: &[usize]| {
            let total = |losses: &Vec<f64>| seeds.iter().map(|seed| losses[*seed]).sum::<f64>();
            let totals: Vec<f64> = points.iter().map(total).collect();
            totals[chosen] / largest::least(totals.iter().copied())
        };
        let mut ratios: Vec<f64> = (0..RESAMPLES).map(|i| ratio(&resample(i))).collect();
        ratios.sort_by(f64::total_cmp);
        let tail = 0.025 / settings.subjects.len() as f64;
        let at = |p: f64| ratios[(p * (RESAMPLES - 1) as f64).round() as usize];
        let statement = format!("{}: loss at the chosen point over the least", subject.name);
        let ends = [at(tail), at(1.0 - tail)];
        Ok(tested(
            Place { item: ITEM.id, claim: &subject.name, table: "grid" },
            &statement,
            ratio(&seeds),
            ends,
            1.01,
        ))
    };
    settings.subjects.iter().zip(grid).map(one).collect()
}

fn figure(settings: &Settings, grid: &[Vec<Vec<f64>>]) -> Figure {
    let panel = |(subject, points): (&Subject, &Vec<Vec<f64>>)| {
        let mean = |losses: &Vec<f64>| order::mean(losses).unwrap_or(0.0);
        let entries: Vec<f64> = points.iter().map(mean).collect();
        let low = largest::least(entries.iter().copied());
        let high = largest::value(entries.iter().copied());
        Panel::Heat(HeatPanel {
            title: subject.name.clone(),
            x_label: "learning rate".into(),
            y_label: String::new(),
            columns: settings.learning_rate.len(),
            entries,
            range: [low, high],
            names: [
                settings.initial_sd.iter().map(|sd| format!("start {sd}")).collect(),
                settings.learning_rate.iter().map(f64::to_string).collect(),
            ],
        })
    };
    Figure {
        id: ITEM.id.into(),
        columns: 2,
        panel_height: 150.0,
        panels: settings.subjects.iter().zip(grid).map(panel).collect(),
        caption: format!(
            "ext-search. Loss relative to E[s²] after {} steps of {} prompts on the base setting, by learning rate \
             and standard deviation of the start; means over {} seeds that no figure uses. Seeds end in one of two \
             or three basins, so that a point's mean is mostly the share of its seeds in the best one. Every panel \
             has its own scale; light is good.",
            settings.steps, settings.batch, settings.seeds
        ),
    }
}
