//! Times of training steps.

use crate::clock;
use icl_model::adam::AdamSettings;
use icl_model::prompt::PromptSampler;
use icl_model::task;
use icl_model::train::{TrainSettings, Trainer};
use icl_numerics::lanes::Isa;

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

/// Sorts the numbers; their median.
pub(crate) fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    quantile(x, 0.5)
}

/// Quantile of sorted numbers.
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    sorted[(p * (sorted.len() - 1) as f64).round() as usize]
}
