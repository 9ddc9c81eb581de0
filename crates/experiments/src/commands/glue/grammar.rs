//! `icl glue grammar`: a stand-in for GLUE as files, with a small pre-trained model.

use super::checkpoint::FileCheckpoint;
use crate::cli::GlueGrammarArguments;
use crate::console::{note, say};
use crate::host;
use crate::outcome::Outcome;
use anyhow::{Context as _, bail};
use artifact::output;
use icl_glue::grammar::{self, LONGEST, Shape, Sizes, documents, lexicon, model};
use icl_glue::{Pretraining, Row, Split, Task, WordPieces, pretrain};
use icl_model::device::Device;
use icl_model::machine::Machine;
use icl_numerics::threads::Threads;
use serde_json::json;
use std::path::Path;

/// Documents on which the loss is watched, far behind those of the text.
const WATCHED: usize = 200;
const WATCHED_FROM: u64 = 1 << 32;

pub(super) fn grammar(arguments: &GlueGrammarArguments, device: Device) -> anyhow::Result<Outcome> {
    let out = &arguments.out;
    if out.exists() {
        bail!(
            "--out: found {}, expected a folder that does not exist; name another",
            out.display()
        );
    }
    output::create_dir(out)?;
    let sizes = Sizes { train: arguments.train as usize, dev: arguments.dev as usize };
    for task in Task::ALL {
        output::create_dir(&out.join(task.folder()))?;
        let splits = [Split::Train, Split::Dev].into_iter();
        for (split, rows) in splits.zip(grammar::rows(arguments.seed, task, sizes)) {
            let file = out.join(task.folder()).join(format!("{}.tsv", split.id()));
            output::write_atomically(&file, grammar::tsv(task, &rows).as_bytes())?;
        }
    }
    let text = documents(arguments.seed, 0, arguments.documents as usize);
    output::write_atomically(&out.join("text.txt"), grammar::text::to_lines(&text).as_bytes())?;
    let trained = trained(arguments, device, &text)?;
    save(&out.join("model"), &trained)?;
    let last = trained.curve.last().context("an empty curve")?;
    if arguments.json {
        let record = json!({
            "seed": arguments.seed,
            "rows": { "train": sizes.train, "dev": sizes.dev },
            "documents": text.len(),
            "steps": last.step,
            "loss": last.loss,
            "relative_loss": last.nmse,
        });
        say!("{record:#}");
    } else {
        say!(
            "{}: a stand-in, not GLUE: {} rows a task, {} documents",
            out.display(),
            sizes.train,
            text.len()
        );
        say!("loss of masked words {:.4}, of the uniform guess 1: {:.4}", last.loss, last.nmse);
    }
    Ok(Outcome::Reproduced)
}

fn trained(
    arguments: &GlueGrammarArguments,
    device: Device,
    text: &[Row],
) -> anyhow::Result<Pretraining> {
    let threads = Threads::new(host::jobs(arguments.threads))?;
    let pieces = WordPieces::from_vocabulary(&lexicon::vocabulary(), LONGEST)?;
    let watched = documents(arguments.seed, WATCHED_FROM, WATCHED);
    let settings = model::pretraining(arguments.seed, arguments.epochs as usize);
    note!("pre-training on {} documents, {} times", text.len(), settings.epochs);
    let checkpoint = FileCheckpoint::open(None, "")?;
    let config = Shape::SMALL.config();
    let texts = [text, &watched[..]];
    Ok(pretrain(&config, &pieces, texts, &settings, &Machine::new(device, threads), &checkpoint)?)
}

/// Writes the model's folder.
fn save(folder: &Path, trained: &Pretraining) -> anyhow::Result<()> {
    output::create_dir(folder)?;
    for (name, bytes) in model::files(&Shape::SMALL.config(), &trained.parameters)? {
        output::write_atomically(&folder.join(name), &bytes)?;
    }
    Ok(())
}
