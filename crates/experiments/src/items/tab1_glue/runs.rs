//! Predictions by setting and seed, and their scores.

use super::cell::{DEV, SELECTION};
use super::floors_of;
use anyhow::Context as _;
use artifact::table::Table;
use icl_glue::{Score, Task, metric};
use icl_numerics::order;

/// Predictions of one set of rows beside their labels.
#[derive(Debug, Clone)]
pub(super) struct Labelled {
    pub(super) labels: Vec<f64>,
    pub(super) predictions: Vec<f64>,
}

impl Labelled {
    /// The rows of a result that are of a set (and of a floor).
    fn read(result: &Table, set: &str, floor: Option<&str>) -> anyhow::Result<Self> {
        let sets = result.texts("set")?;
        let floors = floor.map(|_| result.texts("floor")).transpose()?;
        let own = |i: &usize| {
            sets[*i] == set && floors.as_ref().is_none_or(|all| Some(all[*i].as_str()) == floor)
        };
        let rows: Vec<usize> = (0..sets.len()).filter(own).collect();
        let pick = |name: &str| -> anyhow::Result<Vec<f64>> {
            let all = result.floats(name)?;
            Ok(rows.iter().map(|i| all[*i]).collect())
        };
        Ok(Self { labels: pick("label")?, predictions: pick("prediction")? })
    }

    /// The rows at these places.
    pub(super) fn at(&self, rows: &[usize]) -> Self {
        let pick = |x: &[f64]| rows.iter().map(|i| x[*i]).collect();
        Self { labels: pick(&self.labels), predictions: pick(&self.predictions) }
    }

    /// The task's scores; one that is undefined, as the correlation with a constant is, counts as 0.
    pub(super) fn scores(&self, task: Task) -> anyhow::Result<Vec<Score>> {
        let scores = metric::scores(task, &self.predictions, &self.labels)?;
        let defined = |score: Score| if score.value.is_nan() { 0.0 } else { score.value };
        Ok(scores.into_iter().map(|score| Score { value: defined(score), ..score }).collect())
    }

    /// The score by which settings are chosen and compared.
    pub(super) fn first_score(&self, task: Task) -> anyhow::Result<f64> {
        Ok(self.scores(task)?.first().context("a task without a score")?.value)
    }
}

/// One setting of a model on a task, seed by seed.
#[derive(Debug, Clone)]
pub(super) struct Runs {
    /// The model in words.
    pub(super) model: String,
    pub(super) task: Task,
    /// The modification with its strength.
    pub(super) setting: String,
    /// On the rows held out of the training set.
    pub(super) selection: Vec<Labelled>,
    pub(super) dev: Vec<Labelled>,
}

impl Runs {
    pub(super) fn read(
        model: &str,
        task: Task,
        setting: &str,
        results: &[&Table],
    ) -> anyhow::Result<Self> {
        let of = |set| -> anyhow::Result<Vec<Labelled>> {
            results.iter().map(|result| Labelled::read(result, set, None)).collect()
        };
        let (model, setting) = (model.to_owned(), setting.to_owned());
        Ok(Self { model, task, setting, selection: of(SELECTION)?, dev: of(DEV)? })
    }

    /// The kind of modification.
    pub(super) fn kind(&self) -> &str {
        self.setting.split(':').next().unwrap_or_default()
    }

    /// First scores on dev, by seed.
    pub(super) fn dev_scores(&self) -> anyhow::Result<Vec<f64>> {
        self.dev.iter().map(|one| one.first_score(self.task)).collect()
    }

    /// Mean first score on the held-out rows: what a setting is chosen by.
    pub(super) fn selection_score(&self) -> anyhow::Result<f64> {
        let scores = self.selection.iter().map(|one| one.first_score(self.task));
        let scores: Vec<f64> = scores.collect::<anyhow::Result<_>>()?;
        order::mean(&scores).context("no seed")
    }
}

/// The floors of a task by name, on dev.
#[derive(Debug, Clone)]
pub(super) struct Floors {
    pub(super) task: Task,
    pub(super) floors: Vec<(&'static str, [Labelled; 2])>,
}

impl Floors {
    pub(super) fn read(task: Task, result: &Table) -> anyhow::Result<Self> {
        let floors = floors_of(task).map(|floor| {
            let of = |set| Labelled::read(result, set, Some(floor.name()));
            anyhow::Ok((floor.name(), [of(SELECTION)?, of(DEV)?]))
        });
        Ok(Self { task, floors: floors.collect::<anyhow::Result<_>>()? })
    }

    /// The first score of a floor on dev, if the task has it.
    pub(super) fn dev_score(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let floor = self.floors.iter().find(|(own, _)| *own == name);
        floor.map(|(_, [_, dev])| dev.first_score(self.task)).transpose()
    }
}
