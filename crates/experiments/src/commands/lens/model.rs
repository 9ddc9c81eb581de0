//! `icl lens --model DIR --text FILE`: every head of every layer, beside its dual.

use super::text::Text;
use crate::cli::LensArguments;
use crate::console::{note, say};
use crate::host;
use crate::outcome::Outcome;
use anyhow::{Context as _, bail};
use artifact::{digest, output};
use icl_glue::WordPieces;
use icl_lens::bert::{Encoder, Explained, Settings, explain};
use icl_model::bert::Sequence;
use icl_numerics::lanes::Isa;
use icl_numerics::threads::Threads;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Word pieces to which sentences are cut, unless the flags or the model's positions say otherwise.
const LONGEST: usize = 128;

/// The sentences as the model takes them.
struct Tokenized {
    sequences: Vec<Sequence>,
    /// The lines of those that were too long.
    cut: Vec<usize>,
    longest: usize,
}

/// Runs the command.
pub(super) fn model(
    arguments: &LensArguments,
    folder: &Path,
    file: &Path,
    longest: Option<usize>,
    isa: Isa,
) -> anyhow::Result<Outcome> {
    let both = &arguments.both;
    if let Some(path) = &both.out {
        // fails before the work, not after it
        output::check_writable(path)?;
    }
    let text = Text::read(file)?;
    let encoder = Encoder::open(folder)?;
    let longest = checked(folder, &encoder, longest)?;
    let pieces = WordPieces::open(folder, longest)?;
    let tokenized = tokenized(&pieces, &text, longest)?;
    say_what_was_left_out(file, &text, &tokenized);
    let threads = Threads::new(arguments.threads(host::jobs(None)))?;
    let settings = Settings { precision: both.dtype, threads, isa, arrays: both.out.is_some() };
    let explained = explain(&encoder, &tokenized.sequences, &settings)
        .with_context(|| folder.display().to_string())?;
    if let Some(path) = &both.out {
        output::write_atomically(path, &explained.to_safetensors()?)?;
    }
    if both.json {
        let files = [encoder.files(), &[WordPieces::file(folder)?]].concat();
        let record = record(&explained, (folder, &files), (file, &text), &tokenized)?;
        say!("{:#}", Value::Object(record));
    } else {
        let config = encoder.config();
        say!(
            "{} layers of {} heads of size {}; {} sentences, {} tokens; {}",
            config.num_hidden_layers,
            config.num_attention_heads,
            config.head_size(),
            explained.sequences,
            explained.tokens,
            both.dtype.name()
        );
        explained.lines().iter().for_each(|line| say!("{line}"));
    }
    Ok(if explained.holds() { Outcome::Reproduced } else { Outcome::Differs })
}

/// The number of word pieces that is asked for, if the model has so many positions.
fn checked(folder: &Path, encoder: &Encoder, longest: Option<usize>) -> anyhow::Result<usize> {
    let most = encoder.config().max_position_embeddings;
    match longest {
        Some(longest) if longest > most => bail!(
            "--longest: found {longest}, expected at most {most}, the positions of {}; lower it",
            folder.display()
        ),
        Some(longest) => Ok(longest),
        None => Ok(LONGEST.min(most)),
    }
}

fn tokenized(pieces: &WordPieces, text: &Text, longest: usize) -> anyhow::Result<Tokenized> {
    let mut tokenized = Tokenized { sequences: Vec::new(), cut: Vec::new(), longest };
    for (line, row) in text.lines.iter().zip(&text.rows) {
        let (sequence, cut) = pieces.sequence_and_whether_cut(row)?;
        tokenized.sequences.push(sequence);
        tokenized.cut.extend(cut.then_some(*line));
    }
    Ok(tokenized)
}

fn say_what_was_left_out(file: &Path, text: &Text, tokenized: &Tokenized) {
    let name = file.display();
    if text.blank > 0 {
        note!("{name}: blank lines passed over: {}", text.blank);
    }
    if !tokenized.cut.is_empty() {
        let lines: Vec<String> = tokenized.cut.iter().take(8).map(ToString::to_string).collect();
        let rest = tokenized.cut.len() - lines.len();
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        note!(
            "{name}: longer than {} word pieces and cut: line {}{more}",
            tokenized.longest,
            lines.join(", ")
        );
    }
}

/// What was found and what it was found on.
fn record(
    explained: &Explained,
    (folder, files): (&Path, &[PathBuf]),
    (file, text): (&Path, &Text),
    tokenized: &Tokenized,
) -> anyhow::Result<Map<String, Value>> {
    let mut digests = Map::new();
    for file in files {
        let digest = digest::sha256(&output::read(file)?);
        digests.insert(file.display().to_string(), digest.into());
    }
    let Value::Object(mut record) = explained.json() else {
        return Err(anyhow::anyhow!("the report is no object")).context("report it");
    };
    record.insert(
        "model".into(),
        json!({ "folder": folder.display().to_string(), "files": digests }),
    );
    record.insert(
        "text".into(),
        json!({
            "path": file.display().to_string(),
            "sha256": text.sha256,
            "blank_lines": text.blank,
            "longest": tokenized.longest,
            "cut_lines": tokenized.cut,
        }),
    );
    Ok(record)
}
