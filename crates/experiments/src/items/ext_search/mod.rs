//! The search for hyper-parameters, with its whole grid and its cost.
//!
//! Its seeds and prompts are its own: no figure trains with the former or is judged on the latter. Runs start in the
//! branch with the lower floor. One that leaves it says nothing of rates, so points are compared by the seeds that stay,
//! and how many do is shown beside.

mod claims;
mod drawing;
mod run;

use crate::cells::training;
use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use artifact::table::Table;
use claims::Searched;
use icl_model::adam::Course;
use icl_model::settings::Start;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-search",
    paper: "beyond the paper",
    claim: "How far the chosen learning rate and start are from the best of the grid, and how many seeds stay in the \
            better branch",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    subjects: Vec<Subject>,
    hidden: usize,
    clip: f64,
    schedule: Course,
    start: Start,
    steps: usize,
    batch: usize,
    n_final: usize,
    first_seed: u64,
    seeds: u64,
    lost: f64,
}

/// What is searched for, its grid, and the point that the other files take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    modification: String,
    n_heads: usize,
    /// Whole layers without residual paths; 0 for attention alone.
    layers: usize,
    rates: Vec<f64>,
    starts: Vec<f64>,
    learning_rate: f64,
    initial_sd: f64,
}

/// Learning rate, and standard deviation of the start.
type Point = (f64, f64);

impl Subject {
    /// The grid, start by start.
    fn points(&self) -> Vec<Point> {
        let rates = |sd: &f64| self.rates.iter().map(|rate| (*rate, *sd)).collect::<Vec<_>>();
        self.starts.iter().flat_map(rates).collect()
    }

    /// Place of the chosen point on the grid.
    fn chosen(&self) -> Option<usize> {
        let point = (self.learning_rate, self.initial_sd);
        self.points().iter().position(|other| *other == point)
    }
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.lost <= 0.0 {
        return Err(file.refuse("lost", &settings.lost.to_string(), "more than 0"));
    }
    let mut cells = Vec::new();
    for subject in &settings.subjects {
        if subject.points().len() < 2 || subject.chosen().is_none() {
            let found = format!("{}, {}", subject.learning_rate, subject.initial_sd);
            return Err(file.refuse("subjects", &found, "a point of a grid of two or more"));
        }
        for point in subject.points() {
            for seed in 0..settings.seeds {
                let run = settings.run(subject, point, seed);
                let name = run::name(subject, point, seed);
                let cell = run::cell(name, run, settings.n_final, context.device);
                cells.push(cell.map_err(|e| file.refuse("training", &e.to_string(), "in range"))?);
            }
        }
    }
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let mut searched = Vec::new();
    for subject in &settings.subjects {
        let at = |point| {
            let seeds = (0..settings.seeds).map(|seed| run::name(subject, point, seed));
            training::finals(&results.each(seeds)?)
        };
        let losses = subject.points().into_iter().map(at).collect::<anyhow::Result<_>>()?;
        searched.push(Searched { subject, losses, lost: settings.lost });
    }
    let table = table(settings, &searched)?;
    Ok(Outputs {
        tables: vec![(table, BTreeMap::new())],
        figures: vec![(drawing::figure(settings, &searched), vec!["grid"])],
        claims: claims::claims(&searched)?,
    })
}

/// Every run.
fn table(settings: &Settings, searched: &[Searched<'_>]) -> anyhow::Result<Table> {
    let (mut subjects, mut seeds, mut lost) = (vec![], vec![], vec![]);
    let mut floats: [Vec<f64>; 3] = Default::default();
    for one in searched {
        for ((rate, sd), losses) in one.subject.points().into_iter().zip(&one.losses) {
            for (seed, loss) in (settings.first_seed..).zip(losses) {
                subjects.push(one.subject.name.as_str());
                seeds.push(seed as i64);
                lost.push(i64::from(one.is_lost(*loss)));
                floats.iter_mut().zip([rate, sd, *loss]).for_each(|(column, x)| column.push(x));
            }
        }
    }
    let [rates, starts, losses] = floats;
    let seen = vec![(settings.steps * settings.batch) as i64; seeds.len()];
    Ok(Table::builder("grid")
        .texts("subject", &subjects)
        .floats("learning_rate", rates)
        .floats("initial_sd", starts)
        .integers("seed", seeds)
        .floats("relative_loss", losses)
        .integers("lost", lost)
        .integers("prompts_seen", seen)
        .build()?)
}
