//! `icl report`: what a folder of outputs shows, as one page that needs nothing else.

mod log;
mod model;
mod tables;

use crate::cli::ReportArguments;
use crate::console::say;
use crate::outcome::Outcome;
use crate::profile::Profile;
use crate::workspace::Workspace;
use anyhow::Context as _;
use artifact::manifest::{self, REPORT};
use artifact::output;
use artifact::verify::Report;
use std::path::{Path, PathBuf};

const TEMPLATE: &str = include_str!("../../../templates/report.html");
/// The template's name; its extension says how values are escaped.
const NAME: &str = "report.html";

/// Runs the command: one page for every profile's folder.
pub(crate) fn report(
    workspace: &Workspace,
    arguments: &ReportArguments,
) -> anyhow::Result<Outcome> {
    let given = workspace.out(arguments.dir.as_deref());
    for (profile, dir) in super::verify::profile_folders(&given)? {
        let found = artifact::verify::verify(&dir, profile.name(), &workspace.expected(profile));
        say!("{}", write(workspace, profile, &dir, &found)?.display());
    }
    Ok(Outcome::Reproduced)
}

/// Writes the page of a verified folder beside its outputs; a page that others made stays.
pub(crate) fn write(
    workspace: &Workspace,
    profile: Profile,
    dir: &Path,
    found: &Report,
) -> anyhow::Result<PathBuf> {
    let path = dir.join(REPORT);
    anyhow::ensure!(
        !path.exists() || manifest::is_own_report(dir),
        "{}: found a file of somebody else, expected none or an earlier report; move it away",
        path.display()
    );
    let mut environment = minijinja::Environment::new();
    environment.add_template(NAME, TEMPLATE).context("the report's template")?;
    let page = minijinja::value::Serde(model::page(workspace, profile, dir, found));
    let page = environment
        .get_template(NAME)
        .and_then(|template| template.render(page))
        .context("the report's template")?;
    if let Some(folder) = path.parent() {
        output::create_dir(folder)?;
    }
    output::write_atomically(&path, page.as_bytes())?;
    Ok(path)
}
