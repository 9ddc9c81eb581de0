//! The gallery of a profile's expected figures, and the thumbnails of the README.

use super::expected::expected_claims;
use crate::profile::Profile;
use crate::registry;
use crate::workspace::Workspace;
use artifact::claim::Claim;
use artifact::manifest::{Manifest, ManifestItem};
use std::fmt::Write as _;

/// Thumbnails in a row.
const COLUMNS: usize = 4;

/// Items with the names of their figures.
fn items(workspace: &Workspace) -> anyhow::Result<Vec<(&'static str, ManifestItem)>> {
    let manifest = Manifest::read(&workspace.expected(Profile::Paper).figures)?;
    let own = |item: &crate::item::Item| manifest.items.get(item.id).cloned();
    Ok(registry::built_in().iter().filter_map(|item| Some((item.id, own(item)?))).collect())
}

/// Every figure with its caption, claims, tables and command.
pub(super) fn gallery(workspace: &Workspace) -> anyhow::Result<String> {
    let mut out = String::new();
    for (id, item) in items(workspace)? {
        writeln!(out, "## {id}\n\n*{}*\n", item.paper)?;
        for (figure, caption) in &item.captions {
            writeln!(
                out,
                "<img src=\"{figure}.svg\" alt=\"{}\" width=\"720\">\n",
                quoted(&item.claim)
            )?;
            writeln!(out, "{}\n", caption.replace('|', "\\|").replace('*', "\\*"))?;
            writeln!(out, "[SVG]({figure}.svg) · [PNG]({figure}.png) · [PDF]({figure}.pdf)\n")?;
        }
        let claims = expected_claims(workspace, id)?;
        let expected: Vec<&Claim> = claims.iter().filter(|claim| claim.expected).collect();
        let met = expected.iter().filter(|claim| claim.verdict.is_met()).count();
        let asked = claims.len() - expected.len();
        writeln!(
            out,
            "Claims: {met} of {} expected are met, {asked} more are asked ([all](../../CLAIMS.md#{id})).\n",
            expected.len()
        )?;
        let tables = item.tables.keys().filter_map(|path| {
            let name = path.strip_prefix(&format!("data/{id}/"))?;
            Some(format!("[{name}](../../data/paper/{id}/{name})"))
        });
        writeln!(out, "Tables: {}.\n", tables.collect::<Vec<_>>().join(", "))?;
        writeln!(out, "```sh\nicl run {id} --profile paper\n```\n")?;
    }
    Ok(out)
}

/// Every LaTeX fragment of figures and tables, item by item; ends a comment of LaTeX for the mark behind it.
pub(super) fn fragments(workspace: &Workspace) -> anyhow::Result<String> {
    let mut out = String::new();
    for (id, item) in items(workspace)? {
        writeln!(out, "\\section*{{{id}}}")?;
        let names = item.figures.keys().filter_map(|path| path.strip_prefix("figures/"));
        // pictures first, then tables
        let (tables, figures): (Vec<&str>, Vec<&str>) = names
            .filter(|name| name.ends_with(".tex"))
            .partition(|name| name.strip_suffix(".tex").is_some_and(|stem| stem.contains('.')));
        for name in figures.into_iter().chain(tables) {
            writeln!(out, "\\input{{{name}}}")?;
        }
        writeln!(out, "\\clearpage")?;
    }
    out.push_str("% ");
    Ok(out)
}

fn quoted(text: &str) -> String {
    text.replace('"', "&quot;")
}

/// Small pictures: those that answer the paper, and those of our own questions behind a fold.
pub(super) fn thumbnails(workspace: &Workspace) -> anyhow::Result<String> {
    let of_paper =
        |id: &str| registry::built_in().iter().any(|item| item.id == id && item.is_of_the_paper());
    let (paper, own): (Vec<_>, Vec<_>) =
        items(workspace)?.into_iter().partition(|(id, _)| of_paper(id));
    let mut out = String::new();
    pictures(&mut out, &paper)?;
    let summary = format!("The {} experiments beyond the paper", own.len());
    writeln!(out, "\n<details>\n<summary>{summary}</summary>\n")?;
    pictures(&mut out, &own)?;
    out.push_str("\n</details>\n");
    Ok(out)
}

/// A table of pictures that lead to their place in the gallery.
fn pictures(out: &mut String, items: &[(&str, ManifestItem)]) -> std::fmt::Result {
    let picture = |(id, item): &(&str, ManifestItem)| {
        let figure = item.captions.keys().next()?;
        Some(format!(
            "<a href=\"figures/paper/README.md#{id}\"><img src=\"figures/paper/{figure}.svg\" alt=\"{}\" \
             width=\"100%\"></a><br><sub>{id}</sub>",
            quoted(&item.claim)
        ))
    };
    let cells: Vec<String> = items.iter().filter_map(picture).collect();
    out.push_str("<table>\n");
    for row in cells.chunks(COLUMNS) {
        out.push_str("<tr>\n");
        for cell in row {
            writeln!(out, "<td width=\"25%\" valign=\"top\">{cell}</td>")?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    Ok(())
}
