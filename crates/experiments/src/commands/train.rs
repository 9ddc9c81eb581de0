//! `icl train`: trains one layer and saves its weights.

use crate::cli::TrainArguments;
use crate::console::{self, say};
use crate::outcome::Outcome;
use anyhow::{Context as _, bail};
use artifact::output;
use icl_model::adam::{Adam, AdamSettings};
use icl_model::prompt::{Inputs, PromptShape};
use icl_model::train::{AttentionKind, TrainSettings, Trainer};
use icl_model::{task, weights};
use icl_numerics::lanes::Isa;
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub(crate) fn train(arguments: &TrainArguments, isa: Isa) -> anyhow::Result<Outcome> {
    let scale = match arguments.scale {
        Some(scale) => scale,
        None => task::find(&arguments.task)?.default_scale(),
    };
    let settings = TrainSettings {
        task: arguments.task.clone(),
        scale,
        prompt: PromptShape { n_demos: arguments.n_demos, d_t: arguments.d_t, d_s: arguments.d_s },
        inputs: Inputs::Uniform,
        n_heads: arguments.heads,
        modification: arguments.modification.clone(),
        attention: AttentionKind::Paper,
        d_r: arguments.d_r,
        steps: arguments.steps,
        batch: arguments.batch,
        adam: AdamSettings {
            learning_rate: arguments.learning_rate,
            clip: arguments.clip,
            ..AdamSettings::default()
        },
        initial_sd: arguments.initial_sd,
        n_test: arguments.n_test,
        test_every: arguments.test_every,
        seed: arguments.seed,
        path: arguments.implementation,
    };
    let mut trainer = Trainer::new(settings, isa)?;
    if let Some(path) = &arguments.init {
        restore(&mut trainer, path)?;
    }
    // fails before the work, not after it
    output::check_writable(&arguments.out)?;
    if output::is_standard_output(&arguments.out) {
        console::divert();
    }
    let curve = trainer.run()?;
    let test_loss = curve.last().context("training: found no test loss, expected one")?.test_loss;
    let scale = 2.0 / trainer.held_out().mean_square_target();
    let settings = serde_json::to_value(trainer.settings())?;
    let bytes =
        weights::to_bytes(trainer.parameters(), Some(trainer.adam()), &settings.to_string())?;
    output::write_atomically(&arguments.out, &bytes)?;
    let over_variance = scale * test_loss;
    if arguments.json {
        let points: Vec<_> =
            curve.iter().map(|p| json!({ "step": p.step, "test_loss": p.test_loss })).collect();
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

/// Takes over weights and optimiser of a run with the same settings; only its length and the way it is tested
/// may differ, so that the metadata of what is written stays true.
fn restore(trainer: &mut Trainer, path: &Path) -> anyhow::Result<()> {
    let bytes = output::read(path)?;
    check_settings(trainer.settings(), path, &bytes)?;
    let parameters = weights::from_bytes(trainer.parameters(), path, &bytes)?;
    let fresh = Adam::new(trainer.settings().adam, parameters.packed().len());
    let Some(adam) = weights::adam_from_bytes(fresh, path, &bytes)? else {
        bail!(
            "{}: adam.first: found nothing, expected the optimiser's state; write the file with `icl train`",
            path.display()
        );
    };
    let steps = trainer.settings().steps;
    if adam.step >= steps as u64 {
        bail!(
            "--steps: found {steps}, expected more than the {} that {} has done; raise it",
            adam.step,
            path.display()
        );
    }
    trainer.restore(parameters, Some(adam));
    Ok(())
}

/// Refuses a file of other settings, and says which one differs.
fn check_settings(settings: &TrainSettings, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let metadata = weights::metadata(path, bytes)?;
    let text = metadata.get("settings").map_or("", String::as_str);
    let earlier: TrainSettings = serde_json::from_str(text).map_err(|error| {
        anyhow::anyhow!(
            "{}: metadata `settings`: found {error}, expected the settings of a run of `icl train`",
            path.display()
        )
    })?;
    let same_length = TrainSettings {
        steps: settings.steps,
        n_test: settings.n_test,
        test_every: settings.test_every,
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
