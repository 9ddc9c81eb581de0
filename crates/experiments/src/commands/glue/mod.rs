//! `icl glue`: pretrained models on the tasks of the paper's table.

mod checkpoint;
mod eval;
mod grammar;
mod train;

use crate::cli::{GlueCommand, GlueModelArguments, Numbers};
use crate::console::{note, say};
use crate::gpu::Gpu;
use crate::host;
use crate::item;
use crate::outcome::Outcome;
use anyhow::bail;
use artifact::{digest, output};
use icl_glue::{Data, Model, Score};
use icl_model::device::{Device, DeviceName};
use icl_model::machine::Machine;
use icl_numerics::threads::Threads;
use serde_json::{Map, Value, json};

/// Runs the command.
pub(crate) fn glue(command: &GlueCommand, device: Device) -> anyhow::Result<Outcome> {
    match command {
        GlueCommand::Eval(arguments) => eval::eval(arguments, device),
        GlueCommand::Train(arguments) => train::train(arguments, device),
        GlueCommand::Grammar(arguments) => grammar::grammar(arguments, device),
    }
}

/// The device that is asked for; `cpu` is this processor.
fn device(arguments: &GlueModelArguments, cpu: Device) -> anyhow::Result<Device> {
    match arguments.device {
        DeviceName::Cuda(index) => {
            // says what is missing where there is none
            Gpu::open(index)?;
            Ok(arguments.device.with(cpu.isa()))
        }
        DeviceName::Cpu if arguments.numbers == Numbers::Bf16 => {
            bail!("--numbers: found bf16 on a processor, expected f32; --device cuda has both")
        }
        DeviceName::Cpu => Ok(cpu),
    }
}

/// The model on the device and with the threads that are asked for.
fn open(arguments: &GlueModelArguments, cpu: Device) -> anyhow::Result<Model> {
    let threads = Threads::new(host::jobs(arguments.threads))?;
    let machine = Machine::new(device(arguments, cpu)?, threads);
    let mut model = Model::open(&arguments.model, arguments.task, &arguments.settings(), &machine)?;
    if arguments.numbers != Numbers::F32 {
        model.classifier = model.classifier.in_precision(arguments.numbers.dtype());
    }
    if !model.drawn.is_empty() {
        note!(
            "{}: drawn from seed {}, as the folder does not hold it: {}",
            arguments.model.display(),
            arguments.seed,
            model.drawn.join(", ")
        );
    }
    Ok(model)
}

/// What was read for a run: model, data, settings.
fn inputs(
    arguments: &GlueModelArguments,
    model: &Model,
    data: &[(&str, &Data)],
) -> anyhow::Result<Map<String, Value>> {
    let mut files = Map::new();
    for path in &model.files {
        files.insert(path.display().to_string(), digest::sha256(&output::read(path)?).into());
    }
    let described = data.iter().map(|(split, data)| {
        let known = data.known.map(icl_glue::data::Known::description);
        let value = json!({
            "path": data.path.display().to_string(),
            "sha256": data.sha256,
            "rows": data.rows.len(),
            "known": known,
        });
        ((*split).to_owned(), value)
    });
    let record = json!({
        "task": arguments.task.id(),
        "modification": arguments.modification,
        "longest": arguments.longest,
        "seed": arguments.seed,
        "device": model.classifier.device().to_string(),
        "numbers": format!("{:?}", arguments.numbers).to_lowercase(),
        "class": item::class(model.classifier.device()).word(),
        "model": { "files": files, "drawn": model.drawn, "unused": model.unused },
        "data": described.collect::<Map<String, Value>>(),
    });
    match record {
        Value::Object(record) => Ok(record),
        _ => Ok(Map::new()),
    }
}

/// Scores by name; null where one is undefined.
fn metrics(scores: &[Score]) -> Map<String, Value> {
    scores.iter().map(|score| (score.name.to_owned(), json!(score.value))).collect()
}

/// A line on the data, and one with the scores.
fn say_scores(data: &Data, split: &str, scores: &[Score]) {
    let known = data.known.map_or("not a known copy of GLUE", icl_glue::data::Known::description);
    say!("{} {split}: {} rows ({known})", data.task, data.rows.len());
    let scores: Vec<String> =
        scores.iter().map(|score| format!("{} {:.4}", score.name, score.value)).collect();
    let none = "no labels, so no scores; --predictions FILE writes the predictions";
    say!("{}", if scores.is_empty() { none.to_owned() } else { scores.join(", ") });
}
