//! Times of training steps.

use crate::clock;
use icl_model::adam::AdamSettings;
use icl_model::kernel::KernelSettings;
use icl_model::machine::Machine;
use icl_model::settings::TrainSettings;
use icl_model::training::LayerTraining;

/// The step that is compared with others: 1024 prompts of 16 tokens of size 12.
pub(crate) fn step_settings(d_r: usize, steps: usize) -> TrainSettings {
    TrainSettings {
        kernel: KernelSettings::with_features(d_r),
        steps,
        adam: AdamSettings { learning_rate: 1e-3, ..AdamSettings::default() },
        n_validation: 16,
        validate_every: steps,
        ..TrainSettings::base()
    }
}

/// Milliseconds of every step, and of sampling the same prompts alone.
pub(crate) fn measure(
    settings: TrainSettings,
    machine: &Machine,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let (steps, batch) = (settings.steps, settings.batch);
    let sampler = settings.sampler(settings.seed, "train", machine.isa())?;
    let layer = LayerTraining::new(settings, machine)?;
    let mut trainer = layer.trainer();
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
        sampler.visit(&machine.threads, (i * batch) as u64, batch);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_of_the_sample() {
        let mut x = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&mut x), 3.0);
        assert_eq!(x, [1.0, 2.0, 3.0, 4.0, 5.0]);
        let at = [0.0, 0.25, 0.75, 1.0].map(|p| quantile(&x, p));
        assert_eq!(at, [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(quantile(&[7.0], 0.25), 7.0);
    }
}
