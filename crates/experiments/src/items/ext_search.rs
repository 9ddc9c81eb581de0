//! The search for hyper-parameters, with its whole grid and its cost.

use crate::families::claims::tested;
use crate::families::{training, transformer};
use crate::registry::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::Cell;
use artifact::claim::Claim;
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::statistics::bootstrap_ratio;
use artifact::table::Table;
use icl_model::adam::AdamSettings;
use icl_model::train::TrainSettings;
use icl_model::transformer_train::TransformerSettings;
use icl_numerics::lanes::Isa;
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
    transformers: Vec<Transformer>,
    learning_rate: Vec<f64>,
    initial_sd: Vec<f64>,
    chosen: Chosen,
    steps: usize,
    batch: usize,
    n_final: usize,
    seeds: u64,
    expected: bool,
}

/// A plain Transformer, as in the figures of whole layers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transformer {
    layers: usize,
    hidden: usize,
    residual: bool,
    clip: f64,
}

impl Transformer {
    fn name(self) -> String {
        format!("plain in {} whole layer{}", self.layers, if self.layers == 1 { "" } else { "s" })
    }
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
    /// What is searched for: modifications of the attention layer, then whole layers.
    fn names(&self) -> Vec<String> {
        let transformers = self.transformers.iter().map(|t| t.name());
        self.modifications.iter().cloned().chain(transformers).collect()
    }

    /// Rate and standard deviation of every grid point, in order.
    fn points(&self) -> Vec<(f64, f64)> {
        let rates =
            |sd: &f64| self.learning_rate.iter().map(|rate| (*rate, *sd)).collect::<Vec<_>>();
        self.initial_sd.iter().flat_map(rates).collect()
    }

    /// The cell of the `i`-th name at one point.
    fn cell(&self, i: usize, (rate, sd): (f64, f64), seed: u64, isa: Isa) -> anyhow::Result<Cell> {
        let train = TrainSettings {
            modification: self.modifications.get(i).map_or("plain", String::as_str).into(),
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings { learning_rate: rate, ..AdamSettings::default() },
            initial_sd: sd,
            test_every: self.steps.max(1),
            seed: FIRST_SEED + seed,
            ..TrainSettings::base()
        };
        let Some(depth) = i.checked_sub(self.modifications.len()) else {
            return training::cell(train, self.n_final, isa);
        };
        let Transformer { layers, hidden, residual, clip } = self.transformers[depth];
        let train = TrainSettings { adam: AdamSettings { clip, ..train.adam }, ..train };
        let stack = TransformerSettings { train, layers, hidden, residual };
        transformer::training_cell(stack, self.n_final, isa)
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
        "The chosen learning rate and start are the best on the grid on average over the settings"
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
        for i in 0..settings.names().len() {
            for point in settings.points() {
                for seed in 0..settings.seeds {
                    let cell = settings.cell(i, point, seed, context.isa);
                    cells.push(
                        cell.map_err(|e| file.refuse("training", &e.to_string(), "in range"))?,
                    );
                }
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
    let (names, points) = (settings.names(), settings.points());
    let all = || names.iter().flat_map(|name| points.iter().map(move |point| (name, point)));
    let prompts = (settings.steps * settings.batch * seeds) as i64;
    let table = Table::builder("grid")
        .texts("setting", &all().map(|(name, _)| name.as_str()).collect::<Vec<_>>())
        .floats("learning_rate", all().map(|(_, point)| point.0).collect())
        .floats("initial_sd", all().map(|(_, point)| point.1).collect())
        .floats("relative_loss", means.clone())
        .integers("prompts_seen", vec![prompts; means.len()])
        .build()?;
    let claims = claims(settings, &losses, &means)?;
    let figure = figure(settings, &means);
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(figure, vec!["grid"])],
        claims,
    })
}

/// Over all settings and for each: loss at the chosen point over the least loss of the grid.
fn claims(settings: &Settings, losses: &[Vec<f64>], means: &[f64]) -> anyhow::Result<Vec<Claim>> {
    let points = settings.points();
    let Chosen { learning_rate, initial_sd } = settings.chosen;
    let chosen = points.iter().position(|point| *point == (learning_rate, initial_sd));
    let chosen = chosen.context("the chosen point is not on the grid")?;
    let least = |means: &[f64]| {
        (0..points.len()).fold(chosen, |best, i| if means[i] < means[best] { i } else { best })
    };
    let stream = Stream::new(0, "search/bootstrap");
    // every setting's losses in units of its least mean, averaged over the settings: one row a point
    let mut scores = vec![vec![0.0; settings.seeds as usize]; points.len()];
    let mut own = Vec::new();
    for (m, name) in settings.names().iter().enumerate() {
        let rows = m * points.len()..(m + 1) * points.len();
        let (losses, means) = (&losses[rows.clone()], &means[rows]);
        let best = least(means);
        for (score, losses) in scores.iter_mut().zip(losses) {
            score.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss / means[best]);
        }
        let mut draws = stream.sample(m as u64);
        let ratio = bootstrap_ratio(&losses[chosen], &losses[best], 0.95, |n| draws.below(n))?;
        let statement =
            format!("{name}: loss at the chosen hyper-parameters over the least on the grid");
        let ends = [ratio.lower, ratio.upper];
        own.push(tested([ITEM.id(), name, "grid"], &statement, ratio.mean, ends, 1.01));
    }
    let totals: Vec<f64> = scores.iter().map(|score| order::sum(score)).collect();
    let mut draws = stream.sample(own.len() as u64);
    let best = &scores[least(&totals)];
    let ratio = bootstrap_ratio(&scores[chosen], best, 0.95, |n| draws.below(n))?;
    let statement = "Mean over all settings of the loss relative to each one's least: the chosen \
                     hyper-parameters over the best on the grid";
    let all =
        tested([ITEM.id(), "all", "grid"], statement, ratio.mean, [ratio.lower, ratio.upper], 1.01);
    Ok([vec![Claim { expected: settings.expected, ..all }], own].concat())
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
        panels: settings.names().iter().zip(means.chunks_exact(size)).map(panel).collect(),
        caption: format!(
            "ext-search. Loss relative to E[s²] after {} steps of {} prompts on the base setting, by learning rate \
             and standard deviation of the start; means over {} seeds that no figure uses. Every panel has its own scale; light is good.",
            settings.steps, settings.batch, settings.seeds
        ),
    }
}
