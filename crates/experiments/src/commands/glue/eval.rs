//! `icl glue eval`: predictions and scores.

use super::{inputs, metrics, open, say_scores};
use crate::cli::GlueEvalArguments;
use crate::console::{self, say};
use crate::outcome::Outcome;
use artifact::output;
use icl_glue::Data;
use icl_model::device::Device;
use serde_json::Value;

pub(super) fn eval(arguments: &GlueEvalArguments, device: Device) -> anyhow::Result<Outcome> {
    let own = &arguments.model;
    if let Some(path) = &own.predictions {
        // fails before the work, not after it
        output::check_writable(path)?;
        if output::is_standard_output(path) {
            console::divert();
        }
    }
    let data = Data::read(&own.data, own.task, arguments.split)?;
    let model = open(own, device)?;
    let predictions = if arguments.cosine {
        model.cosines(&data.rows)?
    } else {
        model.predict(model.parameters.packed(), &data.rows)?
    };
    if let Some(path) = &own.predictions {
        output::write_atomically(path, predictions.to_tsv().as_bytes())?;
    }
    let labelled = data.rows.iter().all(|row| row.label.is_some());
    let scores = if labelled { predictions.scores(&data)? } else { Vec::new() };
    if own.json {
        let mut record = inputs(own, &model, &[(arguments.split.id(), &data)])?;
        record.insert("split".into(), arguments.split.id().into());
        record.insert("prediction".into(), if arguments.cosine { "cosine" } else { "head" }.into());
        record.insert("n".into(), data.rows.len().into());
        record.insert("metrics".into(), Value::Object(metrics(&scores)));
        say!("{:#}", Value::Object(record));
    } else {
        say_scores(&data, arguments.split.id(), &scores);
    }
    Ok(Outcome::Reproduced)
}
