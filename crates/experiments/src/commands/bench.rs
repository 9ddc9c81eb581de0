//! `icl bench step`: time of one full training step.

use crate::cli::{BenchStepArguments, Variant};
use crate::clock;
use crate::console::say;
use crate::gpu::Gpu;
use crate::host;
use crate::outcome::Outcome;
use crate::timing::{measure, median, quantile, step_settings};
use anyhow::bail;
use icl_model::device::{Device, DeviceName};
use icl_model::machine::Machine;
use icl_model::prompt::PromptShape;
use icl_model::settings::{RunSettings, TrainSettings};
use icl_numerics::threads::Threads;
use serde_json::json;

/// Timed launches of a GPU.
const LAUNCHES: usize = 5;

/// Runs the command.
pub(crate) fn step(arguments: &BenchStepArguments, device: Device) -> anyhow::Result<Outcome> {
    if arguments.tokens < 2 || arguments.d < 2 || arguments.steps == 0 {
        bail!(
            "bench step: found --tokens {}, --d {}, --steps {}, expected at least 2, 2 and 1",
            arguments.tokens,
            arguments.d,
            arguments.steps
        );
    }
    let settings = settings(arguments);
    if let DeviceName::Cuda(index) = arguments.device {
        return on_gpu(&Gpu::open(index)?, &settings, arguments);
    }
    let threads = host::jobs(arguments.threads);
    let machine = Machine::new(device, Threads::new(threads)?);
    // on the threads themselves: from outside, every step would wait for them to wake
    let measured = machine.threads.run(|| measure(settings, &machine));
    let (mut step_ms, mut gen_ms) = measured?;
    let (step, generation) = (median(&mut step_ms), median(&mut gen_ms));
    if arguments.json {
        let record = json!({
            "ms_per_step": step,
            "gen_ms": generation,
            "threads": threads,
            "isa": device.isa().name(),
            "steps": arguments.steps,
            "quartiles_ms": [quantile(&step_ms, 0.25), quantile(&step_ms, 0.75)],
        });
        say!("{record:#}");
    } else {
        say!("{step:.3} ms per step, of which {generation:.3} ms sample the prompts");
        say!("{threads} threads, {}", device.isa().name());
    }
    Ok(Outcome::Reproduced)
}

/// All steps of all runs in one launch; the median of several launches, the first of which is not counted.
fn on_gpu(
    gpu: &Gpu,
    settings: &TrainSettings,
    arguments: &BenchStepArguments,
) -> anyhow::Result<Outcome> {
    let of_seed =
        |seed: u32| RunSettings::Layer(TrainSettings { seed: u64::from(seed), ..settings.clone() });
    let runs: Vec<RunSettings> = (0..arguments.runs).map(of_seed).collect();
    let mut launches = Vec::new();
    for i in 0..=LAUNCHES {
        let begin = clock::now();
        gpu.train(&runs)?;
        let ms = begin.elapsed().as_secs_f64() * 1e3 / arguments.steps as f64;
        if i > 0 {
            launches.push(ms);
        }
    }
    let step = median(&mut launches);
    let each = step / f64::from(arguments.runs);
    if arguments.json {
        let record = json!({
            "ms_per_step": step,
            "ms_per_step_and_run": each,
            "runs": arguments.runs,
            "steps": arguments.steps,
            "device": gpu.describe(),
            "launches_ms_per_step": launches,
        });
        say!("{record:#}");
    } else {
        say!("{step:.4} ms per step of {} runs at once, {each:.5} ms a run", arguments.runs);
        say!("{}", gpu.describe());
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
