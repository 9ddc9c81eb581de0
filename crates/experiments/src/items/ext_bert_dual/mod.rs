//! Pretrained BERTs on real sentences: every head of every layer beside its dual, and what its kernel would ask of
//! random features.
//!
//! Models and sentences are of others: [`model_folder`] and [`sentences_file`] say where they stand, and the item is
//! not run where they do not.

mod outputs;

use crate::cells::machine;
use crate::item::{Context, Item, Plan};
use crate::named::Named as _;
use crate::settings::SettingsFile;
use crate::views::precision::Precision;
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use artifact::{digest, output};
use icl_glue::{Data, Row, Split, Task, WordPieces};
use icl_lens::bert::{Encoder, Explained, HeadView, Settings as LensSettings, explain};
use icl_model::bert::{Sequence, folder};
use icl_model::device::Device;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The item.
pub(crate) static ITEM: Item = Item {
    id: "ext-bert-dual",
    paper: "beyond the paper",
    claim: "Every head of pretrained BERTs on real sentences is its dual, trained on all other tokens; positive features \
         for its kernel would have to be thousands at the least",
    plan: &plan,
};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    models: Vec<String>,
    pairs: usize,
    longest: usize,
}

/// The sentences' task.
const TASK: Task = Task::StsB;

/// Where a model stands: the one place that asks.
fn model_folder(context: Context<'_>, name: &str) -> anyhow::Result<PathBuf> {
    Ok(context.inputs.model(name)?)
}

/// Where the sentences stand: the one place that asks.
fn sentences_file(context: Context<'_>) -> anyhow::Result<PathBuf> {
    context.inputs.split(TASK, Split::Dev)
}

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if !(1..=1500).contains(&settings.pairs) {
        return Err(file.refuse("pairs", &settings.pairs.to_string(), "1 to 1500"));
    }
    if !(4..=512).contains(&settings.longest) {
        return Err(file.refuse("longest", &settings.longest.to_string(), "4 to 512"));
    }
    let folders: Vec<PathBuf> = settings
        .models
        .iter()
        .map(|name| model_folder(context, name))
        .collect::<anyhow::Result<_>>()?;
    let sentences = sentences_file(context)?;
    let data = digest::sha256(&output::read(&sentences)?);
    let mut cells = Vec::new();
    for (name, folder) in settings.models.iter().zip(folders) {
        let subject = Subject {
            name: name.clone(),
            files: digests(&folder)?,
            folder,
            sentences: sentences.clone(),
            data: data.clone(),
            settings: settings.clone(),
        };
        for precision in Precision::ALL {
            cells.push(cell(subject.clone(), *precision, context.device));
        }
    }
    let models = settings.models;
    Ok(Plan::new(cells, move |results| outputs::assemble(&models, results)))
}

/// A model and what it reads.
#[derive(Debug, Clone)]
struct Subject {
    name: String,
    folder: PathBuf,
    /// SHA-256 of every file of the model and its tokenizer.
    files: Map<String, Value>,
    sentences: PathBuf,
    /// SHA-256 of the sentences' file.
    data: String,
    settings: Settings,
}

impl Subject {
    /// Refuses files that changed since the plan was made, and fewer pairs than are asked for.
    fn check(&self, data: &Data) -> anyhow::Result<()> {
        let (folder, file) = (self.folder.display(), data.path.display());
        anyhow::ensure!(
            digests(&self.folder)? == self.files && data.sha256 == self.data,
            "{folder}, {file}: found other files, expected those of the start; run again"
        );
        let (found, pairs) = (data.rows.len(), self.settings.pairs);
        anyhow::ensure!(
            found >= pairs,
            "{file}: rows: found {found}, expected at least {pairs}; lower `pairs` or fetch it again"
        );
        Ok(())
    }
}

/// SHA-256 of the files that are read of a folder, by their names.
fn digests(folder: &Path) -> anyhow::Result<Map<String, Value>> {
    let mut files = folder::files(folder)?;
    files.push(WordPieces::file(folder)?);
    let mut digests = Map::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        digests.insert(name, digest::sha256(&output::read(&file)?).into());
    }
    Ok(digests)
}

/// Name of the cell of a model in a precision.
fn cell_name(model: &str, precision: Precision) -> String {
    format!("{model}/{}", precision.name())
}

fn cell(subject: Subject, precision: Precision, device: Device) -> Cell {
    let Settings { pairs, longest, .. } = subject.settings;
    let bytes = subject.folder.join("model.safetensors").metadata().map_or(1, |file| file.len());
    Cell::new(
        cell_name(&subject.name, precision),
        pairs as f64 * bytes as f64 / 1e9,
        json!({
            "kind": "bert-dual/1", "model": subject.files, "sentences": subject.data, "pairs": pairs,
            "longest": longest, "dtype": precision.name()
        }),
        schema(),
        move |_| table(&explained(&subject, precision, device)?),
    )
}

/// The first pairs of sentences in the model.
fn explained(subject: &Subject, precision: Precision, device: Device) -> anyhow::Result<Explained> {
    let Settings { pairs, longest, .. } = subject.settings;
    let data = Data::read_file(&subject.sentences, TASK)?;
    subject.check(&data)?;
    let pieces = WordPieces::open(&subject.folder, longest)?;
    let sequence = |row: &Row| -> anyhow::Result<Sequence> { Ok(pieces.sequence(row)?) };
    let sequences = data.rows[..pairs].iter().map(sequence).collect::<anyhow::Result<Vec<_>>>()?;
    let settings = LensSettings {
        precision: match precision {
            Precision::F64 => icl_lens::Precision::F64,
            Precision::F32 => icl_lens::Precision::F32,
        },
        threads: machine(device).threads,
        isa: device.isa(),
        arrays: false,
    };
    Ok(explain(&Encoder::open(&subject.folder)?, &sequences, &settings)?)
}

/// A number of a head.
type Column = (&'static str, fn(&HeadView) -> f64);

/// Numbers of every head.
const NUMBERS: [Column; 13] = [
    ("absolute_difference", |head| head.absolute_difference),
    ("relative_difference", |head| head.relative_difference),
    ("bound", |head| head.bound),
    ("share", |head| head.share),
    ("largest_logit", |head| head.largest_logit),
    ("largest_query", |head| head.largest_query),
    ("mean_query", |head| head.mean_query),
    ("largest_key", |head| head.largest_key),
    ("mean_key", |head| head.mean_key),
    ("mean_z", |head| head.mean_z),
    ("largest_z", |head| head.largest_z),
    ("log10_features", |head| head.log10_features),
    ("log10_features_at_largest", |head| head.log10_features_at_largest),
];

fn schema() -> Schema {
    let integer = |name: &str| (name.to_owned(), ColumnType::Integer);
    let mut schema = vec![integer("layer"), integer("head"), integer("tokens")];
    schema.extend(NUMBERS.map(|(name, _)| (name.to_owned(), ColumnType::Float)));
    schema
}

fn table(explained: &Explained) -> anyhow::Result<Table> {
    let heads = &explained.heads;
    let integers = |f: fn(&HeadView) -> usize| heads.iter().map(|head| f(head) as i64).collect();
    let mut builder = Table::builder("heads")
        .integers("layer", integers(|head| head.layer))
        .integers("head", integers(|head| head.head))
        .integers("tokens", vec![explained.tokens as i64; heads.len()]);
    for (name, number) in NUMBERS {
        builder = builder.floats(name, heads.iter().map(number).collect());
    }
    Ok(builder.build()?)
}
