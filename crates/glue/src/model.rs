//! A pretrained model with a head for one task: from sentences to predictions and scores.

use crate::{Data, GlueError, Row, Score, Task, WordPieces, metric};
use icl_model::attention::{self, Parameters};
use icl_model::bert::{
    Bert, Classifier, Example, Head, Pretrained, Sequence, Target, config::BertConfig, variables,
};
use icl_model::machine::Machine;
use icl_numerics::order;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a folder becomes a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// Modification of attention, `id` or `id:option=value,...`.
    pub modification: String,
    /// Word pieces to which sequences are cut.
    pub longest: usize,
    /// Seed of what the folder does not hold.
    pub seed: u64,
}

/// A model for a task.
#[derive(Debug)]
pub struct Model {
    /// The task.
    pub task: Task,
    /// The network.
    pub classifier: Classifier,
    /// Its parameters.
    pub parameters: Parameters,
    /// Its settings.
    pub config: BertConfig,
    /// Its tokenizer.
    pub pieces: WordPieces,
    /// Variables that the folder does not hold, drawn from the seed.
    pub drawn: Vec<String>,
    /// Tensors of the folder that are not used.
    pub unused: Vec<String>,
    /// The files read.
    pub files: Vec<PathBuf>,
}

impl Model {
    /// Reads a folder.
    ///
    /// # Errors
    /// If a file is missing or damaged, or a setting is out of range.
    pub fn open(
        folder: &Path,
        task: Task,
        settings: &ModelSettings,
        machine: &Machine,
    ) -> Result<Self, GlueError> {
        let pretrained = Pretrained::open(folder)?;
        let most = pretrained.config.max_position_embeddings;
        if !(4..=most).contains(&settings.longest) {
            let found = settings.longest.to_string();
            let (field, next) = ("max_position_embeddings", "choose another length");
            return Err(GlueError::file(folder, field, found, format!("4 to {most}"), next));
        }
        let pieces = WordPieces::open(folder, settings.longest)?;
        Self::new(pretrained, pieces, task, settings, machine)
    }

    /// A model for a task from what a folder holds. The tokenizer says to how many word pieces sequences are cut.
    ///
    /// # Errors
    /// If a tensor is missing, or a setting is out of range.
    pub fn new(
        pretrained: Pretrained,
        pieces: WordPieces,
        task: Task,
        settings: &ModelSettings,
        machine: &Machine,
    ) -> Result<Self, GlueError> {
        let modification = attention::parse(&settings.modification)?;
        let bert =
            Bert { config: pretrained.config.clone(), modification: Arc::from(modification) };
        let head = Head::Classifier(task.target().n_logits());
        let specs = variables::specs(&bert.config, head, bert.modification.as_ref());
        let loaded = pretrained.parameters(specs, settings.seed)?;
        let (parameters, config) = (loaded.parameters, pretrained.config);
        let classifier = Classifier::new(bert, task.target(), parameters.clone(), machine)?;
        let (drawn, unused, files) = (loaded.drawn, loaded.unused, pretrained.files);
        Ok(Self { task, classifier, parameters, config, pieces, drawn, unused, files })
    }

    /// Word pieces and labels of rows; a row without a label has the label 0.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn examples(&self, rows: &[Row]) -> Result<Vec<Example>, GlueError> {
        let example = |row: &Row| {
            let label = row.label.unwrap_or(0.0);
            Ok(Example { sequence: self.pieces.sequence(row)?, label })
        };
        rows.iter().map(example).collect()
    }

    /// Predictions for rows by `parameters`, packed like the model's own.
    ///
    /// # Errors
    /// If the tokenizer or candle refuses.
    pub fn predict(&self, parameters: &[f32], rows: &[Row]) -> Result<Predictions, GlueError> {
        let examples = self.examples(rows)?;
        let logits = self.classifier.logits(parameters, &examples)?;
        Ok(Predictions::new(self.classifier.target(), logits))
    }

    /// Cosines of the sentences' vectors as predictions of their likeness, without any training: means over the tokens
    /// of each sentence alone.
    ///
    /// # Errors
    /// [`GlueError::Score`] if the task has no pairs; otherwise as [`Self::predict`].
    pub fn cosines(&self, rows: &[Row]) -> Result<Predictions, GlueError> {
        if !self.task.is_pair() {
            let found = self.task.to_string();
            let expected = "a task of two sentences".into();
            return Err(GlueError::Score { what: "cosine", found, expected });
        }
        let alone = |text: &str| -> Result<Sequence, GlueError> {
            self.pieces.sequence(&Row { first: text.to_owned(), second: None, label: None })
        };
        let side = |text: &dyn Fn(&Row) -> String| -> Result<Vec<Vec<f32>>, GlueError> {
            let example = |row: &Row| Ok(Example { sequence: alone(&text(row))?, label: 0.0 });
            let examples: Vec<Example> =
                rows.iter().map(example).collect::<Result<_, GlueError>>()?;
            Ok(self.classifier.means(self.parameters.packed(), &examples)?)
        };
        let first = side(&|row| row.first.clone())?;
        let second = side(&|row| row.second.clone().unwrap_or_default())?;
        let logits = first.iter().zip(&second).map(|(a, b)| vec![cosine(a, b)]).collect();
        Ok(Predictions::new(Target::Score, logits))
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let [a, b] = [a, b].map(|x| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>());
    let norms = (order::sum_of_squares(&a) * order::sum_of_squares(&b)).sqrt();
    (order::dot(&a, &b) / norms) as f32
}

/// What a model says of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Outputs of the network, `[n, n_logits]`.
    pub logits: Vec<Vec<f32>>,
    /// Classes by the largest logit, the first of several; or scores.
    pub predictions: Vec<f64>,
}

impl Predictions {
    fn new(target: Target, logits: Vec<Vec<f32>>) -> Self {
        let prediction = |row: &Vec<f32>| match target {
            Target::Score => f64::from(row[0]),
            Target::Class(_) => {
                let best =
                    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best });
                best as f64
            }
        };
        let predictions = logits.iter().map(prediction).collect();
        Self { logits, predictions }
    }

    /// Scores against the labels of `data`.
    ///
    /// # Errors
    /// If the data have no labels.
    pub fn scores(&self, data: &Data) -> Result<Vec<Score>, GlueError> {
        metric::scores(data.task, &self.predictions, &data.labels()?)
    }

    /// Tab-separated: `index`, `logit_0` and so on, `prediction`.
    pub fn to_tsv(&self) -> String {
        let n_logits = self.logits.first().map_or(1, Vec::len);
        let names: Vec<String> = (0..n_logits).map(|i| format!("logit_{i}")).collect();
        let mut text = format!("index\t{}\tprediction\n", names.join("\t"));
        let row = |(i, (logits, prediction)): (usize, (&Vec<f32>, &f64))| {
            let logits: Vec<String> = logits.iter().map(ToString::to_string).collect();
            format!("{i}\t{}\t{prediction}\n", logits.join("\t"))
        };
        text.extend(self.logits.iter().zip(&self.predictions).enumerate().map(row));
        text
    }
}
