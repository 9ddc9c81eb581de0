//! Data and models that others made: the artifact does not ship them, an item that finds them reads them.

mod files;

pub(crate) use files::{DataFiles, Hashed, ModelFiles};

use crate::workspace::Workspace;
use clap::Args;
use icl_glue::{Split, Task, data};
use std::path::PathBuf;

/// Where data and models stand; none for the usual folders.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct InputArguments {
    /// Folder of GLUE's data, instead of data/glue
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder of pretrained models, each in a folder of its own, instead of data/models
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
}

/// Where data and models stand.
#[derive(Debug, Clone)]
pub(crate) struct Inputs {
    /// GLUE's data.
    pub(crate) data: PathBuf,
    /// Pretrained models, each in a folder of its own.
    pub(crate) models: PathBuf,
}

impl Inputs {
    /// The folders that are given, or the usual ones.
    ///
    /// # Errors
    /// If a folder is given and is not there: only the usual ones may be absent.
    pub(crate) fn new(workspace: &Workspace, given: &InputArguments) -> anyhow::Result<Self> {
        let folder = |option: &str, given: &Option<PathBuf>, usual: &str| match given {
            Some(path) if !path.is_dir() => {
                let path = path.display();
                anyhow::bail!(
                    "{option} {path}: found no such folder, expected one; correct the path"
                )
            }
            Some(path) => Ok(path.clone()),
            None => Ok(workspace.path(usual)),
        };
        Ok(Self {
            data: folder("--data", &given.data, "data/glue")?,
            models: folder("--models", &given.models, "data/models")?,
        })
    }

    /// The folder of a pretrained model.
    ///
    /// # Errors
    /// [`Absent`] if it is not there.
    pub(crate) fn model(&self, name: &str) -> Result<PathBuf, Absent> {
        let path = self.models.join(name);
        if path.is_dir() {
            return Ok(path);
        }
        let next = "`just fetch-models` places the small ones, --models DIR names another folder";
        Err(Absent { path, what: "the folder of a pretrained BERT", next })
    }

    /// The file of a split of a task.
    ///
    /// # Errors
    /// [`Absent`] if there is no folder of data or of the task; otherwise as [`data::find`].
    pub(crate) fn split(&self, task: Task, split: Split) -> anyhow::Result<PathBuf> {
        if data::folder_of(&self.data, task).is_none() {
            let next = "`just fetch-glue` places it, --data DIR names another folder";
            let path = self.data.join(task.folder());
            return Err(Absent { path, what: "a task of GLUE", next }.into());
        }
        Ok(data::find(&self.data, task, split)?)
    }
}

/// An item's input that is not there: the item is not run, which is no fault of its settings.
#[derive(Debug, thiserror::Error)]
#[error("{}: found no such folder, expected {what}; {next}", path.display())]
pub(crate) struct Absent {
    path: PathBuf,
    what: &'static str,
    next: &'static str,
}
