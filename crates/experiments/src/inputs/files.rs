//! The files of a model and of a task, with the digests that name them in a cell's specification.

use super::Inputs;
use anyhow::Context as _;
use artifact::{digest, output};
use icl_glue::data::Known;
use icl_glue::{Data, Split, Task, WordPieces};
use icl_model::bert::{BertConfig, folder};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A file and its SHA-256.
#[derive(Debug, Clone)]
pub(crate) struct Hashed {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    pub(crate) bytes: usize,
}

impl Hashed {
    /// Reads a file.
    pub(crate) fn read(path: PathBuf) -> anyhow::Result<Self> {
        let bytes = output::read(&path)?;
        Ok(Self { sha256: digest::sha256(&bytes), bytes: bytes.len(), path })
    }

    /// Refuses a file that is no longer what it was when the plan was made.
    fn check(&self, found: &str) -> anyhow::Result<()> {
        let (path, planned) = (self.path.display(), &self.sha256);
        anyhow::ensure!(
            planned == found,
            "{path}: found SHA-256 {found}, expected {planned} as at the start; run again"
        );
        Ok(())
    }

    /// The rows of a task's file, if it is still what it was.
    pub(crate) fn rows(&self, task: Task) -> anyhow::Result<Data> {
        let data = Data::read_file(&self.path, task)?;
        self.check(&data.sha256)?;
        Ok(data)
    }

    /// Name without folders.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A pretrained model.
#[derive(Debug, Clone)]
pub(crate) struct ModelFiles {
    /// Name of its folder.
    pub(crate) name: String,
    /// What it is, in words.
    pub(crate) label: String,
    pub(crate) folder: PathBuf,
    pub(crate) config: BertConfig,
    /// Settings, weights, tokenizer.
    pub(crate) files: Vec<Hashed>,
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
    pub(crate) fn find(inputs: &Inputs, name: &str) -> anyhow::Result<Self> {
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

    /// Refuses files that are no longer what they were when the plan was made.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let check = |file: &Hashed| file.check(&Hashed::read(file.path.clone())?.sha256);
        self.files.iter().try_for_each(check)
    }

    /// Digests by file name.
    pub(crate) fn digests(&self) -> BTreeMap<String, &str> {
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
pub(crate) struct DataFiles {
    pub(crate) task: Task,
    pub(crate) train: Hashed,
    pub(crate) dev: Hashed,
}

impl DataFiles {
    pub(crate) fn find(inputs: &Inputs, task: Task) -> anyhow::Result<Self> {
        let file = |split| Hashed::read(inputs.split(task, split)?);
        Ok(Self { task, train: file(Split::Train)?, dev: file(Split::Dev)? })
    }

    /// Whose text a file holds, in words.
    pub(crate) fn description(file: &Hashed) -> &'static str {
        Known::find(&file.sha256).map_or("not a known copy of GLUE", Known::description)
    }
}
