//! The files of a model and of a task, with the digests that name them in a cell's specification.

use crate::inputs::Inputs;
use anyhow::Context as _;
use artifact::{digest, output};
use icl_glue::data::Known;
use icl_glue::{Split, Task, WordPieces};
use icl_model::bert::{BertConfig, folder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file and its SHA-256.
#[derive(Debug, Clone)]
pub(super) struct Hashed {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) bytes: usize,
}

impl Hashed {
    fn read(path: PathBuf) -> anyhow::Result<Self> {
        let bytes = output::read(&path)?;
        Ok(Self { sha256: digest::sha256(&bytes), bytes: bytes.len(), path })
    }

    /// Name without folders.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A pretrained model.
#[derive(Debug, Clone)]
pub(super) struct ModelFiles {
    /// Name of its folder.
    pub(super) name: String,
    /// What it is, in words.
    pub(super) label: String,
    pub(super) folder: PathBuf,
    pub(super) config: BertConfig,
    /// Settings, weights, tokenizer.
    pub(super) files: Vec<Hashed>,
}

/// Weights of which is known what they were trained for.
const KNOWN: [(&str, &str); 2] = [
    (
        "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
        "BERT 2/128, retrieval-tuned",
    ),
    (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "BERT 6/384, sentence-tuned on NLI among others",
    ),
];

impl ModelFiles {
    pub(super) fn find(inputs: &Inputs, name: &str) -> anyhow::Result<Self> {
        let folder = inputs.model(name)?;
        let mut paths = folder::files(&folder)?;
        paths.push(WordPieces::file(&folder)?);
        let files: Vec<Hashed> =
            paths.into_iter().map(Hashed::read).collect::<anyhow::Result<_>>()?;
        let config = files.first().context("a model without files")?;
        let text = String::from_utf8_lossy(&output::read(&config.path)?).into_owned();
        let config = BertConfig::from_json(&config.path, &text)?;
        let label = label(name, &config, &files);
        Ok(Self { name: name.to_owned(), label, folder, config, files })
    }

    /// Digests by file name.
    pub(super) fn digests(&self) -> BTreeMap<String, &str> {
        self.files.iter().map(|file| (file.name(), file.sha256.as_str())).collect()
    }
}

fn label(name: &str, config: &BertConfig, files: &[Hashed]) -> String {
    let known = KNOWN.iter().find(|(sha256, _)| files.iter().any(|file| file.sha256 == *sha256));
    let size = format!("{}/{}", config.num_hidden_layers, config.hidden_size);
    known.map_or_else(|| format!("BERT {size} ({name})"), |(_, label)| (*label).to_owned())
}

/// The data of a task.
#[derive(Debug, Clone)]
pub(super) struct DataFiles {
    pub(super) task: Task,
    pub(super) train: Hashed,
    pub(super) dev: Hashed,
}

impl DataFiles {
    pub(super) fn find(inputs: &Inputs, task: Task) -> anyhow::Result<Self> {
        let file = |split| Hashed::read(inputs.split(task, split)?);
        Ok(Self { task, train: file(Split::Train)?, dev: file(Split::Dev)? })
    }

    /// Whose text a file holds, in words.
    pub(super) fn description(file: &Hashed) -> &'static str {
        Known::find(&file.sha256).map_or("not a known copy of GLUE", Known::description)
    }
}

/// Reads a split and checks that it is still the file that was planned with.
pub(super) fn read(file: &Hashed, task: Task) -> anyhow::Result<icl_glue::Data> {
    let data = icl_glue::Data::read_file(&file.path, task)?;
    check(&file.path, &file.sha256, &data.sha256)?;
    Ok(data)
}

/// Refuses a file that changed since the plan was made.
fn check(path: &Path, planned: &str, found: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        planned == found,
        "{}: found SHA-256 {found}, expected {planned} as at the start; run again",
        path.display()
    );
    Ok(())
}
