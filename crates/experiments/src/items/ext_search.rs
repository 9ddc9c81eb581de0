//! The search for hyper-parameters, with its whole grid and its cost.
//!
//! Its seeds and prompts are its own: no figure trains with the former or is judged on the latter. Every run starts in
//! the branch with the lower floor, so that a point's mean is not the share of its seeds that found it.

use crate::cells::{machine, training};
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use anyhow::Context as _;
use artifact::cell::{self, Cell, Results};
use artifact::claim::{Claim, Place, Side, over_seeds};
use artifact::figure::{Figure, HeatPanel, Panel};
use artifact::statistics::interval::{self, Interval};
use artifact::table::Table;
use icl_model::adam::{AdamSettings, Course};
use icl_model::device::Device;
use icl_model::model::PromptData;
use icl_model::settings::{StackSettings, Start, TrainSettings};
use icl_model::training::{EVALUATION_SEED, LayerTraining, StackTraining};
use icl_numerics::largest;
use icl_numerics::order;
use serde::Deserialize;
use serde_json::json;
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
    schedule: Course,
    start: Start,
    steps: usize,
    batch: usize,
    n_final: usize,
    first_seed: u64,
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

    /// What a subject's run at a point is trained with.
    fn stack(
        &self,
        subject: &Subject,
        (learning_rate, initial_sd): (f64, f64),
        seed: u64,
    ) -> StackSettings {
        let clip = if subject.layers == 0 { 0.0 } else { self.clip };
        let train = TrainSettings {
            modification: subject.modification.clone(),
            n_heads: subject.n_heads,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate,
                clip,
                schedule: self.schedule.over(self.steps),
                ..AdamSettings::default()
            },
            init_std: initial_sd,
            start: self.start,
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed: self.first_seed + seed,
            ..TrainSettings::base()
        };
        StackSettings { train, layers: subject.layers, d_ff: self.hidden, residual: false }
    }

    fn cell(&self, name: String, stack: StackSettings, device: Device) -> anyhow::Result<Cell> {
        let n_final = self.n_final;
        stack.train.check()?;
        icl_model::attention::parse(&stack.train.modification)?;
        if stack.layers > 0 {
            stack.check()?;
        }
        // a layer with all its queries costs about ten times attention for one query
        let weight = training::weight(&stack.train, n_final) * (10 * stack.layers).max(1) as f64;
        Ok(Cell::new(
            name,
            weight,
            json!({ "kind": "search/1", "settings": stack, "n_final": n_final }),
            training::schema(),
            move |context| train(context, &stack, n_final, device),
        ))
    }
}

/// Prompts of the search: those of its training seed, and evaluation prompts that no figure uses.
fn prompts(train: &TrainSettings, device: Device) -> anyhow::Result<PromptData> {
    let sampler = |seed, purpose: &str| train.sampler(seed, purpose, device.isa());
    Ok(PromptData {
        training: Box::new(sampler(train.seed, "train")?),
        validation: Box::new(sampler(EVALUATION_SEED, "search/held-out")?),
        test: Box::new(sampler(EVALUATION_SEED, "search")?),
    })
}

fn train(
    context: &cell::Context<'_>,
    stack: &StackSettings,
    n_final: usize,
    device: Device,
) -> anyhow::Result<Table> {
    let (machine, data) = (machine(device), prompts(&stack.train, device)?);
    let part = training::training_part(context, &stack.train, n_final);
    let steps = stack.train.steps;
    if stack.layers == 0 {
        let layer = LayerTraining::with_data(stack.train.clone(), data, &machine)?;
        return training::watched(&part, &mut layer.trainer(), steps, n_final);
    }
    let stack = StackTraining::with_data(stack.clone(), data, &machine)?;
    training::watched(&part, &mut stack.trainer(), steps, n_final)
}

/// Name of the cell of a subject at a rate and a standard deviation.
fn run_name(subject: &Subject, (rate, sd): (f64, f64), seed: u64) -> String {
    format!("{}/{rate}/{sd}/{seed}", subject.name)
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    let mut cells = Vec::new();
    for subject in &settings.subjects {
        if settings.points().len() < 2 || settings.chosen(subject).is_none() {
            let found = format!("{}, {}", subject.learning_rate, subject.initial_sd);
            return Err(file.refuse("subjects", &found, "a point of a grid of two or more"));
        }
        for point in settings.points() {
            for seed in 0..settings.seeds {
                let stack = settings.stack(subject, point, seed);
                let cell = settings.cell(run_name(subject, point, seed), stack, context.device);
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
        .integers("seed", runs().map(|run| (settings.first_seed + run.2) as i64).collect())
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

/// For every subject: the chosen point's loss over that of the point of the grid that does best against it, seed by
/// seed. Intervals are at Bonferroni's level over all other points of all subjects, and the upper end is the highest of
/// a subject's: no other point is better by more.
fn claims(settings: &Settings, grid: &[Vec<Vec<f64>>]) -> anyhow::Result<Vec<Claim>> {
    let others = settings.points().len() - 1;
    let count = others * settings.subjects.len();
    let one = |(subject, points): (&Subject, &Vec<Vec<f64>>)| -> anyhow::Result<Claim> {
        let chosen = settings.chosen(subject).context("the chosen point is not on the grid")?;
        let over = |other: &Vec<f64>| -> anyhow::Result<Interval> {
            let ratios: Vec<f64> = points[chosen].iter().zip(other).map(|(a, b)| a / b).collect();
            Ok(interval::mean_of_several(&ratios, count)?)
        };
        let others = points.iter().enumerate().filter(|(i, _)| *i != chosen);
        let ratios: Vec<Interval> =
            others.map(|(_, other)| over(other)).collect::<anyhow::Result<_>>()?;
        let mean = largest::value(ratios.iter().map(|ratio| ratio.mean));
        let upper = largest::value(ratios.iter().map(|ratio| ratio.upper));
        let own = ratios.iter().find(|ratio| ratio.mean == mean).context("a grid of one point")?;
        let statement = format!(
            "{}: loss at the chosen point over the best other point of the grid",
            subject.name
        );
        let place = Place { item: ITEM.id, claim: &subject.name, table: "grid" };
        let worst = Interval { mean, upper, ..*own };
        Ok(over_seeds(place, &statement, worst, Side::AtMost, 1.01))
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
            "ext-search. Loss relative to E[s²] after {} steps of {} prompts on the base setting, by the learning rate \
             from which a cosine falls and the standard deviation of the start; means over {} seeds and on prompts that \
             no figure uses. All seeds start in the branch with the lower floor. Every panel has its own scale; light \
             is good.",
            settings.steps, settings.batch, settings.seeds
        ),
    }
}
