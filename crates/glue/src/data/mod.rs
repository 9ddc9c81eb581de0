//! Sentences and labels of a task, from GLUE's own files or the hub's parquet.
//!
//! Text is taken as it stands: a quotation mark is a character like any other (readers that take it for a quote lose
//! rows in silence), lines end at `\n`, a byte order mark is skipped.

mod known;
mod parquet;
mod tsv;

pub use known::Known;

use crate::{GlueError, Split, Task};
use artifact::{digest, output};
use std::path::{Path, PathBuf};

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The sentence, or the first of two.
    pub first: String,
    /// The second sentence of a pair.
    pub second: Option<String>,
    /// The class's index or the score; none in a file without labels.
    pub label: Option<f64>,
}

/// A split with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// The task.
    pub task: Task,
    /// The rows in their order.
    pub rows: Vec<Row>,
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// What is known of a file with this digest.
    pub known: Option<Known>,
}

impl Data {
    /// Reads a split of a task below `folder`: `<task>/<split>.tsv` of GLUE's distribution (`CoLA/train.tsv`) or
    /// `<task>/<split>-*.parquet` of the hub's (`cola/train-00000-of-00001.parquet`), in either spelling of the task.
    ///
    /// # Errors
    /// [`GlueError::File`] naming the file and the row or column.
    pub fn read(folder: &Path, task: Task, split: Split) -> Result<Self, GlueError> {
        Self::read_file(&find(folder, task, split)?, task)
    }

    /// Reads a file of a task.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_file(path: &Path, task: Task) -> Result<Self, GlueError> {
        Self::from_bytes(path, task, output::read(path)?)
    }

    /// The content of a file of a task; `path` tells its format and is for messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(path: &Path, task: Task, bytes: Vec<u8>) -> Result<Self, GlueError> {
        let sha256 = digest::sha256(&bytes);
        let parquet = path.extension().is_some_and(|extension| extension == "parquet");
        let rows = if parquet {
            parquet::rows(path, task, bytes)?
        } else {
            tsv::rows(path, task, &bytes)?
        };
        if rows.is_empty() {
            let next = "fetch the file again";
            return Err(GlueError::file(path, "rows", "none", "at least one", next));
        }
        let known = Known::find(&sha256);
        if let Some(known) = known
            && known.rows != rows.len()
        {
            // the digest is right, so this is a fault of ours
            let (found, expected) = (rows.len().to_string(), known.rows.to_string());
            return Err(GlueError::file(path, "rows", found, expected, "report it"));
        }
        Ok(Self { task, rows, path: path.to_owned(), sha256, known })
    }

    /// The labels.
    ///
    /// # Errors
    /// [`GlueError::File`] if the file has none.
    pub fn labels(&self) -> Result<Vec<f64>, GlueError> {
        let labels: Option<Vec<f64>> = self.rows.iter().map(|row| row.label).collect();
        labels.ok_or_else(|| {
            let next = "choose the split train or dev";
            GlueError::file(&self.path, "label", "none", "a label in every row", next)
        })
    }
}

/// The folder of a task below `folder`, in any spelling of its name.
pub fn folder_of(folder: &Path, task: Task) -> Option<PathBuf> {
    let names = [task.folder().to_owned(), task.id().to_owned(), task.folder().to_lowercase()];
    names.iter().map(|name| folder.join(name)).find(|place| place.is_dir())
}

/// The file of a split; see [`Data::read`].
///
/// # Errors
/// [`GlueError::File`] if there is none, or more than one.
pub fn find(folder: &Path, task: Task, split: Split) -> Result<PathBuf, GlueError> {
    let expected = format!(
        "{}/{}.tsv, or {}/{}-*.parquet",
        task.folder(),
        split.id(),
        task.id(),
        split.hub_id()
    );
    let next =
        "`just fetch-glue` places it (ARTIFACT.md says from where), --data names another folder";
    let absent = |found: &str| GlueError::file(folder, "files", found, &expected, next);
    let Some(place) = folder_of(folder, task) else {
        let state = if folder.is_dir() { "no folder of the task" } else { "no such folder" };
        return Err(absent(state));
    };
    let tsv = place.join(format!("{}.tsv", split.id()));
    if tsv.is_file() {
        return Ok(tsv);
    }
    let entries = std::fs::read_dir(&place).map_err(|error| absent(&error.to_string()))?;
    let mut shards: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let own = [split.hub_id(), split.id()]
                .iter()
                .any(|id| name.strip_prefix(id).is_some_and(|rest| rest.starts_with(['-', '.'])));
            own && name.ends_with(".parquet")
        })
        .collect();
    shards.sort();
    match shards.len() {
        0 => Err(absent("neither")),
        1 => Ok(shards.swap_remove(0)),
        n => Err(absent(&format!("{n} parquet files of the split"))),
    }
}

/// A label from its word.
fn label(task: Task, word: &str) -> Result<f64, String> {
    if task == Task::StsB {
        return match word.parse::<f64>() {
            Ok(score) if (0.0..=5.0).contains(&score) => Ok(score),
            _ => Err("a score from 0 to 5".into()),
        };
    }
    let words = task.label_words();
    match words.iter().position(|known| *known == word) {
        Some(class) => Ok(class as f64),
        None => Err(words.join(" or ")),
    }
}
