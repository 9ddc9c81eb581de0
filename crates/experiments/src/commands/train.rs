//! `icl train`: trains one layer and saves its weights.

use crate::cli::TrainArguments;
use crate::console::{self, say};
use crate::host;
use crate::outcome::Outcome;
use anyhow::{Context as _, bail};
use artifact::output;
use icl_model::adam::{Adam, AdamSettings};
use icl_model::device::Device;
use icl_model::kernel::KernelSettings;
use icl_model::machine::Machine;
use icl_model::prompt::{Inputs, Labels, MapEntries, PromptShape};
use icl_model::settings::TrainSettings;
use icl_model::trainer::{Trainer, Unkept};
use icl_model::training::LayerTraining;
use icl_model::{checkpoint, task};
use icl_numerics::threads::Threads;
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub(crate) fn train(arguments: &TrainArguments, device: Device) -> anyhow::Result<Outcome> {
    let machine = Machine::new(device, Threads::new(host::jobs(None))?);
    let layer = LayerTraining::new(settings(arguments)?, &machine)?;
    let mut trainer = layer.trainer();
    if let Some(path) = &arguments.init {
        restore(layer.settings(), &mut trainer, path)?;
    }
    // fails before the work, not after it
    output::check_writable(&arguments.out)?;
    if output::is_standard_output(&arguments.out) {
        console::divert();
    }
    // on the threads themselves: from outside, every step would wait for them to wake
    let curve = machine.threads.run(|| trainer.run(&Unkept))?;
    let last = curve.last().context("training: found no test loss, expected one")?;
    let (test_loss, over_variance) = (last.loss, last.nmse);
    let settings = serde_json::to_value(layer.settings())?;
    let bytes =
        checkpoint::to_bytes(trainer.parameters(), Some(trainer.adam()), &settings.to_string())?;
    output::write_atomically(&arguments.out, &bytes)?;
    if arguments.json {
        let points: Vec<_> =
            curve.iter().map(|p| json!({ "step": p.step, "test_loss": p.loss })).collect();
        let record = json!({
            "test_loss": test_loss,
            "test_loss_over_variance": over_variance,
            "steps": trainer.adam().step,
            "curve": points,
            "settings": settings,
            "weights": arguments.out.display().to_string(),
            "sha256": artifact::digest::sha256(&bytes),
        });
        say!("{record:#}");
    } else {
        say!("test loss {test_loss:.6}, {over_variance:.6} of E[s²]/2");
        say!("wrote {}", arguments.out.display());
    }
    Ok(Outcome::Reproduced)
}

/// The settings that the arguments state.
fn settings(arguments: &TrainArguments) -> anyhow::Result<TrainSettings> {
    let scale = match arguments.scale {
        Some(scale) => scale,
        None => task::find(&arguments.task)?.default_scale(),
    };
    Ok(TrainSettings {
        task: arguments.task.clone(),
        scale,
        prompt: PromptShape { n_demos: arguments.n_demos, d_t: arguments.d_t, d_s: arguments.d_s },
        inputs: Inputs::default(),
        map: MapEntries::default(),
        labels: Labels::default(),
        pool: None,
        n_heads: arguments.heads,
        modification: arguments.modification.clone(),
        kernel: KernelSettings::with_features(arguments.d_r),
        steps: arguments.steps,
        batch: arguments.batch,
        adam: AdamSettings {
            learning_rate: arguments.learning_rate,
            clip: arguments.clip,
            schedule: arguments.schedule.over(arguments.steps),
            ..AdamSettings::default()
        },
        init_std: arguments.initial_sd,
        start: arguments.start,
        n_validation: arguments.n_test,
        validate_every: arguments.test_every,
        evaluation: None,
        seed: arguments.seed,
        backend: arguments.implementation,
    })
}

/// Takes over weights and optimiser of a run with the same settings; only its length and the way it is tested
/// may differ, so that the metadata of what is written stays true.
fn restore(settings: &TrainSettings, trainer: &mut Trainer<'_>, path: &Path) -> anyhow::Result<()> {
    let bytes = output::read(path)?;
    check_settings(settings, path, &bytes)?;
    let parameters = checkpoint::from_bytes(trainer.parameters(), path, &bytes)?;
    let fresh = Adam::new(settings.adam.clone(), &parameters);
    let Some(adam) = checkpoint::adam_from_bytes(fresh, path, &bytes)? else {
        bail!(
            "{}: adam.first: found nothing, expected the optimiser's state; write the file with `icl train`",
            path.display()
        );
    };
    let steps = settings.steps;
    if adam.step >= steps as u64 {
        bail!(
            "--steps: found {steps}, expected more than the {} that {} has done; raise it",
            adam.step,
            path.display()
        );
    }
    trainer.restore(parameters, adam);
    Ok(())
}

/// Refuses a file of other settings, and says which one differs.
fn check_settings(settings: &TrainSettings, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let metadata = checkpoint::metadata(path, bytes)?;
    let text = metadata.get("settings").map_or("", String::as_str);
    let earlier: TrainSettings = serde_json::from_str(text).map_err(|error| {
        anyhow::anyhow!(
            "{}: metadata `settings`: found {error}, expected the settings of a run of `icl train`",
            path.display()
        )
    })?;
    let same_length = TrainSettings {
        steps: settings.steps,
        n_validation: settings.n_validation,
        validate_every: settings.validate_every,
        ..earlier
    };
    let (found, wanted) = (serde_json::to_value(&same_length)?, serde_json::to_value(settings)?);
    let fields = wanted.as_object().into_iter().flatten();
    let differing: Vec<String> = fields
        .filter(|(field, wanted)| found[*field] != **wanted)
        .map(|(field, wanted)| format!("{field}: found {}, expected {wanted}", found[field]))
        .collect();
    if !differing.is_empty() {
        bail!(
            "{}: {}: only --steps, --n-test and --test-every may differ from the run that is continued",
            path.display(),
            differing.join("; ")
        );
    }
    Ok(())
}
