//! Where the workspace's files stand.

use anyhow::{Context as _, bail};
use artifact::verify::Expected;
use std::path::{Path, PathBuf};

use crate::profile::Profile;

/// Expected figures are kept for this profile only; their digests for all.
pub(crate) const FIGURES_OF: Profile = Profile::Paper;

/// The workspace on disk.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

fn is_root(dir: &Path) -> bool {
    dir.join("experiments").is_dir() && dir.join("Cargo.toml").is_file()
}

impl Workspace {
    /// The given root, or the first ancestor of the working directory or of the program that holds
    /// `experiments/` and `Cargo.toml`.
    pub(crate) fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(root) = given {
            if !is_root(root) {
                bail!(
                    "--root {}: found no experiments/ and Cargo.toml, expected the workspace's root; \
                     give the folder of the clone",
                    root.display()
                );
            }
            return Ok(Self { root: root.to_owned() });
        }
        let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
        let ancestors = starts.iter().flatten().flat_map(|start| start.ancestors());
        let root = ancestors.into_iter().find(|dir| is_root(dir)).with_context(|| {
            "found no workspace in the working directory or above it or the program, expected \
             experiments/ and Cargo.toml; change into the clone or give --root DIR"
        })?;
        Ok(Self { root: root.to_owned() })
    }

    /// A path inside the workspace.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The settings file of an item.
    pub(crate) fn settings(&self, id: &str) -> PathBuf {
        self.root.join("experiments").join(format!("{id}.toml"))
    }

    /// Where the expected outputs of a profile stand.
    pub(crate) fn expected(&self, profile: Profile) -> Expected {
        Expected {
            data: self.root.join("data").join(profile.name()),
            figures: self.root.join("figures").join(profile.name()),
            keeps_figures: profile == FIGURES_OF,
        }
    }

    /// The folder that runs write to.
    pub(crate) fn out(&self, given: Option<&Path>) -> PathBuf {
        given.map_or_else(|| self.root.join("out"), Path::to_owned)
    }
}
