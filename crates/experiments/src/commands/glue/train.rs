//! `icl glue train`: fine-tuning, scores on dev, and the tuned model as a folder.

use super::checkpoint::FileCheckpoint;
use super::{inputs, metrics, open, say_scores};
use crate::cli::GlueTrainArguments;
use crate::console::{self, say};
use crate::outcome::Outcome;
use anyhow::bail;
use artifact::output;
use icl_glue::{Data, Model, Split, Tuned, tune};
use icl_model::bert::folder;
use icl_model::device::Device;
use serde_json::{Value, json};
use std::path::Path;

/// What is copied beside the weights where the model's folder holds it.
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];

pub(super) fn train(arguments: &GlueTrainArguments, device: Device) -> anyhow::Result<Outcome> {
    let own = &arguments.model;
    check_outputs(arguments)?;
    let training = Data::read(&own.data, own.task, Split::Train)?;
    let dev = Data::read(&own.data, own.task, Split::Dev)?;
    let model = open(own, device)?;
    let mut record = inputs(own, &model, &[("train", &training), ("dev", &dev)])?;
    record.insert("settings".into(), serde_json::to_value(arguments.settings())?);
    let run = Value::Object(record.clone()).to_string();
    let checkpoint = FileCheckpoint::open(arguments.checkpoint.as_deref(), &run)?;
    let tuned = tune(&model, &arguments.settings(), &training, &dev, &checkpoint)?;
    let predictions = model.predict(tuned.parameters.packed(), &dev.rows)?;
    let scores = predictions.scores(&dev)?;
    if let Some(path) = &own.predictions {
        output::write_atomically(path, predictions.to_tsv().as_bytes())?;
    }
    if let Some(out) = &arguments.out {
        save(out, &own.model, &model, &tuned)?;
    }
    if own.json {
        let points: Vec<Value> =
            tuned.curve.iter().map(|p| json!({ "step": p.step, "dev_loss": p.loss })).collect();
        record.insert("steps".into(), tuned.steps.into());
        record.insert("curve".into(), points.into());
        record.insert("metrics".into(), Value::Object(metrics(&scores)));
        say!("{:#}", Value::Object(record));
    } else {
        for point in &tuned.curve {
            say!("step {}: dev loss {:.6}", point.step, point.loss);
        }
        say_scores(&dev, "dev", &scores);
    }
    Ok(Outcome::Reproduced)
}

/// Fails before the work, not after it.
fn check_outputs(arguments: &GlueTrainArguments) -> anyhow::Result<()> {
    if let Some(path) = &arguments.model.predictions {
        output::check_writable(path)?;
        if output::is_standard_output(path) {
            console::divert();
        }
    }
    if let Some(out) = &arguments.out
        && out.exists()
    {
        bail!(
            "--out: found {}, expected a folder that does not exist; name another",
            out.display()
        );
    }
    Ok(())
}

/// Writes the tuned model as a folder of its own.
fn save(out: &Path, source: &Path, model: &Model, tuned: &Tuned) -> anyhow::Result<()> {
    output::create_dir(out)?;
    for name in TOKENIZER_FILES {
        let file = source.join(name);
        if file.is_file() {
            output::write_atomically(&out.join(name), &output::read(&file)?)?;
        }
    }
    let mut config = serde_json::to_value(&model.config)?;
    if let Value::Object(fields) = &mut config {
        let n_labels = model.classifier.target().n_logits();
        fields.insert("architectures".into(), json!(["BertForSequenceClassification"]));
        fields.insert("num_labels".into(), n_labels.into());
    }
    output::write_atomically(&out.join("config.json"), format!("{config:#}\n").as_bytes())?;
    let weights = folder::to_safetensors(&tuned.parameters)?;
    // last, so that a folder with weights is whole
    output::write_atomically(&out.join("model.safetensors"), &weights)?;
    Ok(())
}
