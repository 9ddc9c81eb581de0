//! The search for hyper-parameters, with its whole grid and its cost.

use crate::families::claims::tested;
use crate::families::training;
use crate::registry::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::claim::Claim;
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::statistics::bootstrap_mean;
use artifact::table::Table;
use icl_model::adam::AdamSettings;
use icl_model::train::TrainSettings;
use icl_numerics::order;
use icl_numerics::stream::Stream;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Search = Search;

/// `ext-search`.
pub(crate) struct Search;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    modifications: Vec<String>,
    learning_rate: Vec<f64>,
    initial_sd: Vec<f64>,
    chosen: Chosen,
    steps: usize,
    batch: usize,
    n_final: usize,
    seeds: u64,
    expected: bool,
}

/// What the other items use.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    learning_rate: f64,
    initial_sd: f64,
}

/// Seeds of the search: none of them is a seed of a figure.
const FIRST_SEED: u64 = 1000;

impl Settings {
    /// Modification, rate and standard deviation of every grid point, in order.
    fn grid(&self) -> Vec<(&str, f64, f64)> {
        let mut grid = Vec::new();
        for modification in &self.modifications {
            for sd in &self.initial_sd {
                for rate in &self.learning_rate {
                    grid.push((modification.as_str(), *rate, *sd));
                }
            }
        }
        grid
    }
}

impl Item for Search {
    fn id(&self) -> &'static str {
        "ext-search"
    }

    fn paper(&self) -> &'static str {
        "beyond the paper"
    }

    fn claim(&self) -> &'static str {
        "The chosen learning rate and start are within one per cent of the best on the grid, for every setting"
    }

    fn plan(&self, file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
        let settings: Settings = file.typed(context.profile)?;
        let Chosen { learning_rate, initial_sd } = settings.chosen;
        if !settings.learning_rate.contains(&learning_rate)
            || !settings.initial_sd.contains(&initial_sd)
        {
            let found = format!("{learning_rate}, {initial_sd}");
            return Err(file.refuse("chosen", &found, "a point of the grid"));
        }
        let mut cells = Vec::new();
        for (modification, learning_rate, initial_sd) in settings.grid() {
            for seed in 0..settings.seeds {
                let train = TrainSettings {
                    modification: modification.to_owned(),
                    steps: settings.steps,
                    batch: settings.batch,
                    adam: AdamSettings { learning_rate, ..AdamSettings::default() },
                    initial_sd,
                    test_every: settings.steps.max(1),
                    seed: FIRST_SEED + seed,
                    ..TrainSettings::base()
                };
                let cell = training::cell(train, settings.n_final, context.isa);
                cells.push(cell.map_err(|e| file.refuse("training", &e.to_string(), "in range"))?);
            }
        }
        Ok(Plan { cells, assemble: Box::new(move |results| assemble(&settings, results)) })
    }
}

fn assemble(settings: &Settings, results: &[Table]) -> anyhow::Result<Outputs> {
    let seeds = settings.seeds as usize;
    let losses: Vec<Vec<f64>> = results
        .chunks_exact(seeds)
        .map(|runs| {
            let last = |run: &Table| run.floats("relative_loss")?.pop().context("an empty run");
            runs.iter().map(last).collect::<anyhow::Result<Vec<f64>>>()
        })
        .collect::<anyhow::Result<_>>()?;
    let means: Vec<f64> = losses.iter().map(|x| order::mean(x).unwrap_or(0.0)).collect();
    let grid = settings.grid();
    let prompts = (settings.steps * settings.batch * seeds) as i64;
    let table = Table::builder("grid")
        .texts("setting", &grid.iter().map(|point| point.0).collect::<Vec<_>>())
        .floats("learning_rate", grid.iter().map(|point| point.1).collect())
        .floats("initial_sd", grid.iter().map(|point| point.2).collect())
        .floats("relative_loss", means.clone())
        .integers("prompts_seen", vec![prompts; grid.len()])
        .build()?;
    let claims = claims(settings, &losses, &means)?;
    let figure = figure(settings, &means);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["grid"])],
        claims,
    })
}

/// For every setting: loss at the chosen point over the least loss of the grid.
fn claims(settings: &Settings, losses: &[Vec<f64>], means: &[f64]) -> anyhow::Result<Vec<Claim>> {
    let grid = settings.grid();
    let per_setting = grid.len() / settings.modifications.len();
    let stream = Stream::new(0, "search/bootstrap");
    let claim = |(m, name): (usize, &String)| -> anyhow::Result<Claim> {
        let points = m * per_setting..(m + 1) * per_setting;
        let chosen = |i: &usize| {
            let (_, rate, sd) = grid[*i];
            rate == settings.chosen.learning_rate && sd == settings.chosen.initial_sd
        };
        let at = points.clone().find(chosen).context("the chosen point is not on the grid")?;
        let best = points.fold(at, |b, i| if means[i] < means[b] { i } else { b });
        let ratios: Vec<f64> = losses[at].iter().zip(&losses[best]).map(|(a, b)| a / b).collect();
        let mut draws = stream.sample(m as u64);
        let interval = bootstrap_mean(&ratios, 0.95, |n| draws.below(n))?;
        let statement =
            format!("{name}: loss at the chosen hyper-parameters over the least on the grid");
        let ends = [interval.lower, interval.upper];
        let claim = tested([ITEM.id(), name, "grid"], &statement, interval.mean, ends, 1.01);
        Ok(Claim { expected: settings.expected && name == "plain", ..claim })
    };
    settings.modifications.iter().enumerate().map(claim).collect()
}

fn figure(settings: &Settings, means: &[f64]) -> Figure {
    let columns = settings.learning_rate.len();
    let size = columns * settings.initial_sd.len();
    let panel = |(name, entries): (&String, &[f64])| {
        let low = entries.iter().copied().fold(f64::INFINITY, f64::min);
        let high = entries.iter().copied().fold(0.0, f64::max);
        Panel::Heat(HeatPanel {
            title: format!("{name} (least {low:.3})"),
            x_label: "learning rate".into(),
            y_label: String::new(),
            columns,
            entries: entries.to_vec(),
            range: [low, high],
            names: [
                settings.initial_sd.iter().map(|sd| format!("start {sd}")).collect(),
                settings.learning_rate.iter().map(f64::to_string).collect(),
            ],
        })
    };
    Figure {
        id: ITEM.id().into(),
        columns: 2,
        panel_height: 170.0,
        panels: settings.modifications.iter().zip(means.chunks_exact(size)).map(panel).collect(),
        caption: format!(
            "ext-search. Loss relative to E[s²] after {} steps of {} prompts on the base setting, by learning rate \
             and standard deviation of the start; means over {} seeds that no figure uses. Every panel has its own scale; light is good.",
            settings.steps, settings.batch, settings.seeds
        ),
    }
}
