//! Generalisation of in-context learning itself: the risk of a trained layer on tasks it has not seen, against the number
//! of demonstrations and the number of tasks it was trained on; and what the bound on the dual's loss says of the weights
//! that the dual really has.
//!
//! The softmax is over the demonstrations alone, so that the dual's weights are their cross-covariance, and trainings start
//! within one branch, so that layers of different pools and seeds are in the same optimum (docs/theory.md, sections 9, 12 and
//! 14). Losses are relative to `E s^2 = d_t / 3` of fresh tasks, also on a pool, whose own mean square varies.

mod bound;
mod claims;
mod drawing;
mod measure;
mod runs;
mod tables;

use crate::item::{Context, Item, Outputs, Plan};
use crate::settings::SettingsFile;
use artifact::cell::Results;
use icl_model::adam::{AdamSettings, Schedule};
use icl_model::kernel::Kernel;
use icl_model::prompt::PromptShape;
use icl_model::settings::{Start, TrainSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-icl-generalisation",
    paper: "beyond the paper",
    claim: "A layer trained on T tasks generalises to new ones with a gap that falls as 1/T; the bound on the dual's loss, at the \
         weights that the dual has, is the looser the more demonstrations there are",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    d_t: usize,
    n_demos: Vec<usize>,
    pool_demos: usize,
    bound_demos: usize,
    pools: Vec<usize>,
    steps: usize,
    batch: usize,
    learning_rate: f64,
    initial_sd: f64,
    n_final: usize,
    tasks: usize,
    population: usize,
    draws: usize,
    floor_prompts: usize,
    seeds: u64,
    margin: f64,
    expected: bool,
}

/// How the bound is measured.
#[derive(Debug, Clone, Copy, Serialize)]
struct Measured {
    /// Tasks for every seed.
    tasks: usize,
    /// Demonstrations of a task.
    population: usize,
    /// Prompts of a task.
    draws: usize,
}

impl Settings {
    fn train(&self, n_demos: usize, pool: Option<usize>, seed: u64) -> TrainSettings {
        TrainSettings {
            prompt: PromptShape { n_demos, d_t: self.d_t, d_s: 1 },
            pool,
            kernel: Kernel::SoftmaxWithoutQuery,
            steps: self.steps,
            batch: self.batch,
            adam: AdamSettings {
                learning_rate: self.learning_rate,
                schedule: Schedule::Cosine { total: self.steps as u64 },
                ..AdamSettings::default()
            },
            init_std: self.initial_sd,
            start: Start::WithinOpposed,
            n_validation: 16,
            validate_every: self.steps.max(1),
            seed,
            ..TrainSettings::base()
        }
    }

    fn measured(&self) -> Measured {
        Measured { tasks: self.tasks, population: self.population, draws: self.draws }
    }

    fn check(&self, file: &SettingsFile) -> anyhow::Result<()> {
        if !self.n_demos.contains(&self.pool_demos) {
            let found = self.pool_demos.to_string();
            return Err(file.refuse("pool_demos", &found, "one of `n_demos`"));
        }
        if self.n_demos.iter().all(|n| *n < self.bound_demos) {
            let found = self.bound_demos.to_string();
            return Err(file.refuse("bound_demos", &found, "at most the last of `n_demos`"));
        }
        let ascending = |list: &[usize]| list.len() > 1 && list.is_sorted_by(|a, b| a < b);
        if !ascending(&self.n_demos) || !ascending(&self.pools) {
            let found = format!("{:?}, {:?}", self.n_demos, self.pools);
            return Err(file.refuse("n_demos, pools", &found, "two numbers or more, ascending"));
        }
        if self.tasks == 0 || self.draws < 2 || !(2..=4096).contains(&self.population) {
            let found = format!("{}, {}, {}", self.tasks, self.draws, self.population);
            let expected = "at least 1 and 2, and 2 to 4096";
            return Err(file.refuse("tasks, draws, population", &found, expected));
        }
        Ok(())
    }
}

fn plan(file: &SettingsFile, context: Context) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    settings.check(file)?;
    let mut cells = Vec::new();
    for seed in 0..settings.seeds {
        let alone = settings.n_demos.iter().map(|n| (*n, None));
        let pools = settings.pools.iter().map(|size| (settings.pool_demos, Some(*size)));
        for (n, pool) in alone.chain(pools) {
            let train = settings.train(n, pool, seed);
            train.check().map_err(|e| file.refuse("training", &e.to_string(), "in range"))?;
            cells.push(runs::cell(&settings, train, context.device));
        }
    }
    cells.extend(settings.n_demos.iter().map(|n| runs::floor(&settings, *n)));
    Ok(Plan::new(cells, move |results| assemble(&settings, results)))
}

fn assemble(settings: &Settings, results: &Results) -> anyhow::Result<Outputs> {
    let runs = tables::runs(settings, results)?;
    let risk = tables::risk(settings, &runs, results)?;
    let gaps = tables::gaps(settings, &runs)?;
    let compared = tables::compared(settings, &gaps)?;
    let pools = tables::pools(settings, &gaps, &compared)?;
    let bound = tables::bound(settings, &runs)?;
    let claims = claims::claims(settings, &runs, &gaps, &compared)?;
    let figure = drawing::figure(settings, &risk, &pools, &bound)?;
    Ok(Outputs {
        tables: [runs, risk, gaps, pools, bound].map(|t| (t, BTreeMap::new())).into(),
        figures: vec![(figure, vec!["risk", "pools", "bound"])],
        claims,
    })
}
