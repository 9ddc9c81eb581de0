//! `icl bench step`: time of one full training step.

use super::Outcome;
use crate::cli::{BenchStepArguments, Variant};
use crate::clock;
use crate::console::say;
use anyhow::bail;
use icl_model::adam::AdamSettings;
use icl_model::prompt::{PromptSampler, PromptShape};
use icl_model::task;
use icl_model::train::{TrainSettings, Trainer};
use icl_numerics::lanes::Isa;
use serde_json::json;

/// Runs the command.
pub(crate) fn step(arguments: &BenchStepArguments, isa: Isa) -> anyhow::Result<Outcome> {
    if arguments.tokens < 2 || arguments.d < 2 || arguments.steps == 0 {
        bail!(
            "bench step: found --tokens {}, --d {}, --steps {}, expected at least 2, 2 and 1",
            arguments.tokens,
            arguments.d,
            arguments.steps
        );
    }
    let settings = settings(arguments);
    let threads = super::run::jobs(arguments.threads);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let (mut step_ms, mut gen_ms) = pool.install(|| measure(settings, isa))?;
    let (step, generation) = (median(&mut step_ms), median(&mut gen_ms));
    if arguments.json {
        let record = json!({
            "ms_per_step": step,
            "gen_ms": generation,
            "threads": threads,
            "isa": isa.name(),
            "steps": arguments.steps,
            "quartiles_ms": [quantile(&step_ms, 0.25), quantile(&step_ms, 0.75)],
        });
        say!("{record:#}");
    } else {
        say!("{step:.3} ms per step, of which {generation:.3} ms sample the prompts");
        say!("{threads} threads, {}", isa.name());
    }
    Ok(Outcome::Reproduced)
}

fn settings(arguments: &BenchStepArguments) -> TrainSettings {
    let d_r = match arguments.variant {
        Variant::Softmax => 0,
        Variant::Positive => arguments.d_r,
    };
    TrainSettings {
        prompt: PromptShape { n_demos: arguments.tokens - 1, d_t: arguments.d - 1, d_s: 1 },
        n_heads: arguments.heads,
        modification: arguments.modification.clone(),
        batch: arguments.batch,
        ..step_settings(d_r, arguments.steps)
    }
}

/// The step that is compared with others: 1024 prompts of 16 tokens of size 12.
pub(crate) fn step_settings(d_r: usize, steps: usize) -> TrainSettings {
    TrainSettings {
        d_r,
        steps,
        adam: AdamSettings { learning_rate: 1e-3, ..AdamSettings::default() },
        n_test: 16,
        test_every: steps,
        ..TrainSettings::base()
    }
}

/// Milliseconds of every step, and of sampling the same prompts alone.
pub(crate) fn measure(settings: TrainSettings, isa: Isa) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    settings.check()?;
    let (steps, batch) = (settings.steps, settings.batch);
    let task = task::find(&settings.task)?;
    let sampler =
        PromptSampler::new(task, settings.scale, settings.prompt, settings.seed, "train", isa);
    let mut trainer = Trainer::new(settings, isa)?;
    for _ in 0..(steps / 10).clamp(3, 50) {
        trainer.step()?;
    }
    let mut step_ms = Vec::with_capacity(steps);
    for _ in 0..steps {
        let start = clock::now();
        trainer.step()?;
        step_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let generate = |i: usize| {
        let start = clock::now();
        sampler.visit((i * batch) as u64, batch);
        start.elapsed().as_secs_f64() * 1e3
    };
    let gen_ms = (0..steps).map(generate).collect();
    Ok((step_ms, gen_ms))
}

pub(crate) fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    quantile(x, 0.5)
}

/// Quantile of sorted numbers.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    sorted[(p * (sorted.len() - 1) as f64).round() as usize]
}
