//! Pretrained BERTs on real sentences: every head of every layer beside its dual, and what its kernel would ask of
//! random features.
//!
//! Models and sentences are of others: the item is not run where they are not there.

mod outputs;

use crate::cells::machine;
use crate::inputs::{Hashed, ModelFiles};
use crate::item::{Context, Item, Plan};
use crate::named::Named as _;
use crate::settings::SettingsFile;
use crate::views::precision::Precision;
use artifact::cell::Cell;
use artifact::table::{ColumnType, Schema, Table};
use icl_glue::{Row, Split, Task, WordPieces};
use icl_lens::bert::{Encoder, Explained, HeadView, Settings as LensSettings, explain};
use icl_model::bert::Sequence;
use icl_model::device::Device;
use serde::{Deserialize, Serialize};
use serde_json::json;

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

fn plan(file: &SettingsFile, context: Context<'_>) -> anyhow::Result<Plan> {
    let settings: Settings = file.typed(context.profile)?;
    if !(1..=1500).contains(&settings.pairs) {
        return Err(file.refuse("pairs", &settings.pairs.to_string(), "1 to 1500"));
    }
    if !(4..=512).contains(&settings.longest) {
        return Err(file.refuse("longest", &settings.longest.to_string(), "4 to 512"));
    }
    let sentences = Hashed::read(context.inputs.split(TASK, Split::Dev)?)?;
    let mut cells = Vec::new();
    for name in &settings.models {
        let subject = Subject {
            model: ModelFiles::find(context.inputs, name)?,
            sentences: sentences.clone(),
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
    model: ModelFiles,
    sentences: Hashed,
    settings: Settings,
}

impl Subject {
    /// The first pairs of sentences, if files are still those of the plan and there are as many as asked for.
    fn pairs(&self) -> anyhow::Result<Vec<Row>> {
        self.model.check()?;
        let mut data = self.sentences.rows(TASK)?;
        let (found, pairs) = (data.rows.len(), self.settings.pairs);
        anyhow::ensure!(
            found >= pairs,
            "{}: rows: found {found}, expected at least {pairs}; lower `pairs` or fetch it again",
            data.path.display()
        );
        data.rows.truncate(pairs);
        Ok(data.rows)
    }
}

/// Name of the cell of a model in a precision.
fn cell_name(model: &str, precision: Precision) -> String {
    format!("{model}/{}", precision.name())
}

fn cell(subject: Subject, precision: Precision, device: Device) -> Cell {
    let Settings { pairs, longest, .. } = subject.settings;
    let bytes = subject.model.files.iter().map(|file| file.bytes).max().unwrap_or(1);
    Cell::new(
        cell_name(&subject.model.name, precision),
        pairs as f64 * bytes as f64 / 1e9,
        json!({
            "kind": "bert-dual/1", "model": subject.model.digests(), "sentences": subject.sentences.sha256,
            "pairs": pairs, "longest": longest, "dtype": precision.name()
        }),
        schema(),
        move |_| table(&explained(&subject, precision, device)?),
    )
}

/// The first pairs of sentences in the model.
fn explained(subject: &Subject, precision: Precision, device: Device) -> anyhow::Result<Explained> {
    let folder = &subject.model.folder;
    let pieces = WordPieces::open(folder, subject.settings.longest)?;
    let sequence = |row: &Row| -> anyhow::Result<Sequence> { Ok(pieces.sequence(row)?) };
    let sequences = subject.pairs()?.iter().map(sequence).collect::<anyhow::Result<Vec<_>>>()?;
    let settings = LensSettings {
        precision: match precision {
            Precision::F64 => icl_lens::Precision::F64,
            Precision::F32 => icl_lens::Precision::F32,
        },
        threads: machine(device).threads,
        isa: device.isa(),
        arrays: false,
    };
    Ok(explain(&Encoder::open(folder)?, &sequences, &settings)?)
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
