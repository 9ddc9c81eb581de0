//! The two optima of softmax attention with the query token in the softmax, and what decides which one is found.
//!
//! One head that learns `s = W t` attends either to inputs like the query's (*aligned*) or to inputs unlike it, whose
//! labels it turns (*opposed*). The query's own token takes half of the mass of the first and none of the second, so
//! their floors differ (`docs/theory.md`, section 12). Runs from many random starts show that the sign of one initial
//! weight, `w_v[s, s]`, says where training ends.

mod claims;
mod drawing;
mod floors;
mod run;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use artifact::table::Table;
use icl_model::adam::{AdamSettings, Course};
use icl_model::prompt::PromptShape;
use icl_model::settings::TrainSettings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-branches",
    paper: "beyond the paper",
    claim: "One softmax head with the query token in its softmax has two optima, and the sign of one initial weight \
            decides which is found",
    plan: &plan,
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n_demos: usize,
    d_t: usize,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    schedule: Course,
    /// Runs whose start is that of the figures.
    seeds: u64,
    initial_sd: f64,
    /// Runs from other spreads, in search of another optimum; each spread as often as the next.
    free_starts: u64,
    free_sds: Vec<f64>,
    watch_every: usize,
    mass_prompts: usize,
    n_final: usize,
    /// Demonstrations at which the floors are drawn.
    floor_demos: Vec<usize>,
    floor_prompts: u64,
}

/// First seed of the free starts.
const FREE: u64 = 10_000;

impl Settings {
    fn train(&self, seed: u64, initial_sd: f64) -> TrainSettings {
        TrainSettings {
            prompt: PromptShape { n_demos: self.n_demos, d_t: self.d_t, d_s: 1 },
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                schedule: self.schedule.over(self.steps),
                ..AdamSettings::default()
            },
            init_std: initial_sd,
            validate_every: self.steps.max(1),
            seed,
            ..TrainSettings::base()
        }
    }

    /// Every run: seed and spread of the start.
    fn runs(&self) -> Vec<(u64, f64)> {
        let drawn = (0..self.seeds).map(|seed| (seed, self.initial_sd));
        let spread = |i: u64| self.free_sds[i as usize % self.free_sds.len()];
        drawn.chain((0..self.free_starts).map(|i| (FREE + i, spread(i)))).collect()
    }
}

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if settings.free_sds.is_empty() || settings.watch_every == 0 || settings.mass_prompts == 0 {
        let found = format!("{:?}, {}", settings.free_sds, settings.watch_every);
        return Err(file.refuse(
            "free_sds, watch_every, mass_prompts",
            &found,
            "at least one each",
        ));
    }
    let mut cells = Vec::new();
    for (seed, initial_sd) in settings.runs() {
        let train = settings.train(seed, initial_sd);
        train.check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
        cells.push(run::cell(&settings, train, context.device));
    }
    cells.push(floors::cell(&settings, context.device));
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

/// Table of every run's curve.
const RUNS: &str = "runs";
/// Table of the ends of runs.
const ENDS: &str = "ends";
/// Table of floors against the number of demonstrations, and on the final prompts.
const FLOORS: &str = "floors";

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let runs = results.each(settings.runs().iter().map(|(seed, _)| run::name(*seed)))?;
    let runs = Table::stack(RUNS, runs)?;
    let floors = results.get(FLOORS)?.clone();
    let ends = run::ends(&runs, &floors)?;
    let claims = claims::claims(settings, &ends, &floors)?;
    let figure = drawing::figure(settings, &runs, &ends, &floors)?;
    let exact = BTreeMap::new;
    Ok(Outputs {
        tables: vec![(runs, exact()), (ends, exact()), (floors, exact())],
        figures: vec![(figure, vec![RUNS, ENDS, FLOORS])],
        claims,
    })
}
