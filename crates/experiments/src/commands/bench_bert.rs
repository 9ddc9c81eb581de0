//! `icl bench bert`: time of one full fine-tuning step.

use crate::cli::BenchBertArguments;
use crate::clock;
use crate::console::say;
use crate::host;
use crate::outcome::Outcome;
use crate::timing::{median, quantile};
use anyhow::bail;
use icl_model::adam::AdamSettings;
use icl_model::attention;
use icl_model::bert::{
    Bert, BertConfig, Classifier, Example, Examples, FineTuning, Head, Sequence, Target, Walk,
    variables,
};
use icl_model::device::Device;
use icl_model::machine::Machine;
use icl_model::trainer::{Length, Trainer};
use icl_numerics::stream::Stream;
use icl_numerics::threads::Threads;
use serde_json::json;
use std::sync::Arc;

/// Steps before the clock runs.
const WARM_UP: usize = 2;

/// Runs the command.
pub(crate) fn bert(arguments: &BenchBertArguments, device: Device) -> anyhow::Result<Outcome> {
    let (batch, steps) = (arguments.batch, arguments.steps);
    if batch == 0 || steps == 0 || arguments.part == 0 {
        bail!(
            "bench bert: found --batch {batch}, --part {}, --steps {steps}, expected at least 1",
            arguments.part
        );
    }
    let config = config(arguments)?;
    let modification = Arc::from(attention::parse(&arguments.modification)?);
    let bert = Bert { config, modification };
    let specs = variables::specs(&bert.config, Head::Classifier(2), bert.modification.as_ref());
    let start = variables::initialised(specs, 0);
    let walk = Walk {
        seed: 0,
        epochs: 1,
        batch,
        part: arguments.part,
        hidden_dropout: bert.config.hidden_dropout_prob,
        attention_dropout: bert.config.attention_probs_dropout_prob,
    };
    let examples = examples(&bert.config, arguments.length, batch * (steps + WARM_UP));
    let threads = host::jobs(arguments.threads);
    let machine = Machine::new(device, Threads::new(threads)?);
    let classifier = Classifier::new(bert, Target::Class(2), start.clone(), &machine)?;
    let tuning = FineTuning::new(classifier, examples, walk)?;
    let adam =
        AdamSettings { learning_rate: 1e-5, decay: 0.01, clip: 1.0, ..AdamSettings::default() };
    let length = Length { steps: steps + WARM_UP, batch, n_validation: 0, validate_every: 1 };
    let mut trainer = Trainer::new(&tuning, length, adam, start);
    for _ in 0..WARM_UP {
        trainer.step()?;
    }
    let mut step_ms = Vec::with_capacity(steps);
    for _ in 0..steps {
        let start = clock::now();
        trainer.step()?;
        step_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let step = median(&mut step_ms);
    if arguments.json {
        let record = json!({
            "ms_per_step": step,
            "threads": threads,
            "isa": device.isa().name(),
            "steps": steps,
            "quartiles_ms": [quantile(&step_ms, 0.25), quantile(&step_ms, 0.75)],
        });
        say!("{record:#}");
    } else {
        say!("{step:.1} ms per step of {batch} sequences of {} word pieces", arguments.length);
        say!("{threads} threads, {}", device.isa().name());
    }
    Ok(Outcome::Reproduced)
}

fn config(arguments: &BenchBertArguments) -> anyhow::Result<BertConfig> {
    let BenchBertArguments { layers, hidden, heads, length, .. } = *arguments;
    let default = BertConfig::default();
    if heads == 0 || hidden == 0 || layers == 0 || !hidden.is_multiple_of(heads) {
        bail!(
            "bench bert: found {layers} layers, {heads} heads of {hidden}, expected heads that divide it"
        );
    }
    if !(1..=default.max_position_embeddings).contains(&length) {
        let most = default.max_position_embeddings;
        bail!("--length: found {length}, expected 1 to {most}");
    }
    Ok(BertConfig {
        num_hidden_layers: layers,
        hidden_size: hidden,
        num_attention_heads: heads,
        intermediate_size: 4 * hidden,
        ..default
    })
}

/// Sequences of random word pieces with alternating classes.
fn examples(config: &BertConfig, length: usize, n: usize) -> Examples {
    let stream = Stream::new(0, "bench/bert");
    let example = |i: usize| {
        let mut draws = stream.sample(i as u64);
        let ids = (0..length).map(|_| draws.below(config.vocab_size as u64) as u32).collect();
        let sequence = Sequence { ids, segments: vec![0; length] };
        Example { sequence, label: (i % 2) as f64 }
    };
    Examples { training: (0..n).map(example).collect(), ..Examples::default() }
}
